"""What is deployed: a network with everything around it that an application would have to write.

    images, uint8, any height and width -> resized -> the network -> probabilities, label index

The network sees what it saw in training: images of its size, in whole grey levels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from convgraft.errors import UsageError, near_miss
from convgraft.export.artifact import Run

LAYOUTS: Mapping[str, tuple[int, ...]] = {"nhwc": (0, 3, 1, 2), "nchw": (0, 1, 2, 3)}


class Deployed(nn.Module):
    """Images, uint8, of any height and width, to probabilities and label index.

    Images are resized bilinearly with antialiasing, the aspect not kept, and rounded to whole grey
    levels, as for training; an image of the network's size stays exactly as it is.

    Args:
        network: images [N, 3, S, S] to a dict of logits by answer.
        answer: the main answer.
        size: S, in pixels.
        layout: `nhwc`, as Pillow and OpenCV give images, or `nchw`, as PyTorch does.
        others: by label column, the answer that is about it.

    >>> Deployed(run.composite, run.plan.answer, run.image_size)        # doctest: +SKIP
    """

    def __init__(
        self,
        network: nn.Module,
        answer: str,
        size: int,
        layout: str = "nhwc",
        others: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.size = network, size
        self.layout = check_layout(layout)
        self.answers = {"": answer, **(others or {})}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what comes out: `probabilities`, `index`, then `probabilities_COLUMN`, ..."""
        return output_names([column for column in self.answers if column])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """uint8 [N, H, W, 3], or [N, 3, H, W], to float32 [N, classes] and int64 [N].

        The same pair follows for each other label column.
        """
        given = images.permute(LAYOUTS[self.layout])
        resized = F.interpolate(
            given, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False
        )
        logits = self.network(resized)
        found: list[Tensor] = []
        for answer in self.answers.values():
            probabilities = logits[answer].float().softmax(1)
            found += [probabilities, probabilities.argmax(1)]
        return tuple(found)


def deployed(run: Run, *, layout: str = "nhwc", network: nn.Module | None = None) -> Deployed:
    """A run as it is deployed, in evaluation mode, answering for every label column.

    Args:
        network: one of the same function to use instead of the composite.
    """
    others = {column: answer_about(run, column) for column in run.columns}
    whole = Deployed(
        run.composite if network is None else network,
        run.plan.answer,
        run.image_size,
        layout,
        others,
    )
    return whole.eval()


def answer_about(run: Run, column: str) -> str:
    """The answer that counts for a label column: the last one that is about it."""
    return [name for name in run.plan.answers if run.plan.column(name) == column][-1]


def output_names(columns: list[str]) -> tuple[str, ...]:
    """Names of the outputs, the main answer's first."""
    endings = ["", *(f"_{column}" for column in columns)]
    return tuple(name + end for end in endings for name in ("probabilities", "index"))


def check_layout(layout: str) -> str:
    """The layout as it was given; raises UsageError for one that there is not."""
    if layout not in LAYOUTS:
        raise UsageError(
            f'there is no layout called "{layout}"',
            expected=", ".join(LAYOUTS),
            hint=near_miss(layout, LAYOUTS),
        )
    return layout
