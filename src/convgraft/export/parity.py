"""Whether an exported file answers as the network does that it was made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convgraft.errors import RunError
from convgraft.export.artifact import Run
from convgraft.export.deployed import LAYOUTS, answer_about
from convgraft.export.pictures import Pictures, random_pictures

TOLERANCE = 1e-4
BATCH = 32
LEAST = 1e-30  # probabilities below this have lost their digits in float32

Answers = Callable[[NDArray[np.uint8]], Sequence[NDArray[Any]]]


@dataclass(frozen=True)
class Agreement:
    """How far an exported file is from its network, at most.

    Attributes:
        images: how many they were compared on.
        told: where those are from.
        probabilities: largest difference of a probability.
        logits: largest difference of a log-probability, that is, of a logit less what all logits
            of the image have in common.
        differing: images whose most probable class is another one.
    """

    images: int
    told: str
    probabilities: float
    logits: float
    differing: int

    def __str__(self) -> str:
        told = f"{self.images} images ({self.told})"
        found = f"probabilities within {self.probabilities:.1e}, logits within {self.logits:.1e}"
        other = f", {self.differing} with another class" if self.differing else ""
        return f"agrees with the network on {told}: {found}{other}"


def check_agreement(
    run: Run, answers: Answers, *, layout: str = "nhwc", pictures: Pictures | None = None
) -> Agreement:
    """Compare an exported file with the eager composite, for every label column.

    Args:
        answers: images, uint8 in the layout, to what the file gives: probabilities and index of
            the main answer, then of every other label column.
        pictures: random ones by default.

    Raises RunError that names output and image where a probability differs by more than 1e-4, or a
    logit by more than that share of the image's largest.
    """
    shown = random_pictures(run.image_size) if pictures is None else pictures
    given = in_layout(shown.images, layout)
    starts = range(0, len(given), BATCH)
    batches = [answers(given[start : start + BATCH]) for start in starts]
    expected = _expected(run, shown.images)
    worst, logits, differing = 0.0, 0.0, 0
    for number, (column, logs) in enumerate(expected.items()):
        found = torch.from_numpy(np.concatenate([batch[2 * number] for batch in batches]))
        gaps, log_gaps = _gaps(found.double(), logs)
        _refuse(gaps, f"probabilities{f'_{column}' if column else ''}", shown)
        _refuse(log_gaps / _largest(logs), f"logits of {column or 'the main answer'}", shown)
        worst, logits = max(worst, gaps.max().item()), max(logits, log_gaps.max().item())
        if not column:
            differing = int((found.argmax(1) != logs.argmax(1)).sum())
    return Agreement(len(given), shown.told, worst, logits, differing)


def in_layout(images: Tensor, layout: str) -> NDArray[np.uint8]:
    """uint8 [N, 3, H, W] as an array in a layout."""
    order = LAYOUTS[layout]
    places = [order.index(place) for place in range(4)]
    return images.permute(places).contiguous().numpy()


@torch.inference_mode()
def _expected(run: Run, images: Tensor) -> dict[str, Tensor]:
    """What the composite says, by column, as log-probabilities [N, classes]."""
    answers = {"": run.plan.answer, **{name: answer_about(run, name) for name in run.columns}}
    outputs = [run.composite(batch) for batch in images.split(BATCH)]
    logits = {name: torch.cat([out[answer] for out in outputs]) for name, answer in answers.items()}
    return {name: value.double().log_softmax(1) for name, value in logits.items()}


def _gaps(found: Tensor, logs: Tensor) -> tuple[Tensor, Tensor]:
    """By image, the largest difference of probabilities and of log-probabilities, [N] each."""
    expected = logs.exp()
    seen = (found > LEAST) & (expected > LEAST)
    apart = (found.clamp(min=LEAST).log() - logs).abs()
    return (found - expected).abs().amax(1), torch.where(seen, apart, 0.0).amax(1)


def _largest(logs: Tensor) -> Tensor:
    """The largest log-probability of each image by amount, at least one, [N]."""
    return logs.clamp(min=float(np.log(LEAST))).abs().amax(1).clamp(min=1.0)


def _refuse(gaps: Tensor, output: str, shown: Pictures) -> None:
    """Raise RunError where a gap is too wide, or is no number at all."""
    wrong = ~(gaps <= TOLERANCE)
    if not wrong.any():
        return
    image = int(torch.nan_to_num(gaps, nan=float("inf")).argmax())
    raise RunError(
        f"the exported file does not agree with the network: {output} of image "
        f'"{shown.names[image]}" ({shown.told})',
        expected=f"a difference of {TOLERANCE:g} at most",
        found=f"{gaps[image].item():.2g}, and {int(wrong.sum())} of {len(shown)} images are off",
        hint="a vote whose members are close to a tie may turn by rounding; other --check images",
    )
