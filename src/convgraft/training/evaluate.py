"""Run a composite over images, without gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from convgraft.cache.out_of_memory import is_out_of_memory
from convgraft.cache.stored import StoredValues
from convgraft.compose import Composite
from convgraft.data import MISSING, Pixels
from convgraft.data.streamed import LazyImages
from convgraft.errors import RunError
from convgraft.opening.memory_format import fastest_format, laid_out
from convgraft.training.metrics import Metrics, measure
from convgraft.training.process_group import current_group


@dataclass(frozen=True, eq=False)
class Answered:
    """What a composite answered to labelled images.

    Attributes:
        indices: which images of their `ImageSet` these are, [N].
        logits: by answer, [N, classes].
        about: by answer, the label column that it is about; answers about no column there is are
            left out.
        labels: by column, int64 [N]; -1 is missing.
    """

    indices: tuple[int, ...]
    logits: Mapping[str, Tensor]
    about: Mapping[str, str]
    labels: Mapping[str, Tensor]

    def metrics(self) -> dict[str, Metrics]:
        """Metrics of every answer, over images whose label is known; raises RunError for none."""
        return {
            name: _measure(column, self.logits[name], self.labels[column])
            for name, column in self.about.items()
        }


def _fewer(images: int, error: Exception) -> int:
    """Half as many images, with a warning, where memory ran out; else raises the error again."""
    if images < 2 or not is_out_of_memory(error):
        raise error
    warnings.warn(f"no memory for {images} images at once: {images // 2} from now on", stacklevel=3)
    return images // 2


@torch.inference_mode()
def answers(
    composite: Composite,
    images: Tensor | Pixels | StoredValues,
    *,
    batch_size: int = 128,
    layout: torch.memory_format | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    gather: bool = True,
) -> dict[str, Tensor]:
    """Logits [N, classes] of every answer; the mode is as before after.

    Each of several ranks runs the composite over a share of the images.

    Args:
        images: [N, 3, S, S], or for the rest of a composite what its frozen part made of them.
        gather: whether all ranks get the answers to all images, else each those to its own.
    """
    device = next(composite.parameters()).device
    was_training = composite.training
    composite.eval()
    images = images.images if isinstance(images, Pixels) else images
    stored = isinstance(images, StoredValues)
    layout = layout or (torch.contiguous_format if stored else fastest_format(composite))
    collected: dict[str, list[Tensor]] = {name: [] for name in composite.plan.answers}
    group = current_group()
    own = group.ranks.share(torch.arange(len(images)))
    try:
        start = 0
        while start < len(own):
            rows = slice(start, min(start + batch_size, len(own)))
            batch = images.inputs(own[rows]) if stored else (_some(images, own, rows),)
            try:
                outputs = composite(*(laid_out(value.to(device), layout) for value in batch))
            # each library has an error of its own for it
            except Exception as error:
                batch_size = _fewer(rows.stop - start, error)
                continue
            for name, logits in collected.items():
                logits.append(outputs[name].float().cpu())
            start = rows.stop
            if on_progress:
                on_progress(start, len(own))
    finally:
        composite.train(was_training)
    if gather:
        return over_ranks(images, collected)
    return {name: torch.cat(parts) for name, parts in collected.items() if parts}


def _some(images: Tensor, own: Tensor, rows: slice) -> Tensor:
    """This rank's images of a batch; of all images a view, which costs nothing."""
    return images[rows] if len(own) == len(images) else images[own[rows]]


def over_ranks(
    images: Tensor | StoredValues, made: Mapping[str, list[Tensor]]
) -> dict[str, Tensor]:
    """What all ranks have made of their shares of images, on all of them: by name [N, width].

    Each rank adds its rows to noughts. Streamed images that any rank found broken are left out.

    Args:
        made: by name, what this rank has made of its share, batch after batch.
    """
    group = current_group()
    if group.world == 1:
        return {name: torch.cat(parts) for name, parts in made.items() if parts}
    every = torch.arange(len(images))
    own, kept = group.ranks.share(every), every
    if isinstance(images, LazyImages):
        own, kept = images.sound(own), images.agreed(group.gather)
    widths = group.gather({name: parts[0].shape[1] for name, parts in made.items() if parts})
    found: dict[str, Tensor] = {}
    for name, parts in made.items():
        width = next(told[name] for told in widths if name in told)
        whole = torch.zeros(len(images), width)
        if parts:
            whole[own] = torch.cat(parts)
        found[name] = group.total(whole)[kept]
    return found


def evaluate(
    composite: Composite,
    pixels: Pixels | StoredValues,
    *,
    batch_size: int = 128,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Metrics]:
    """Metrics of every answer about a label column there is, over images whose label is known."""
    return answered(composite, pixels, batch_size=batch_size, on_progress=on_progress).metrics()


def answered(
    composite: Composite,
    pixels: Pixels | StoredValues,
    *,
    batch_size: int = 128,
    on_progress: Callable[[int, int], None] | None = None,
) -> Answered:
    """Every answer to the images, and their labels; raises RunError where there are no images."""
    if not len(pixels.labels):
        raise RunError("there are no images to evaluate on")
    found = answers(composite, pixels, batch_size=batch_size, on_progress=on_progress)
    columns = {name: composite.plan.column(name) for name in found}
    about = {name: column for name, column in columns.items() if column in pixels.columns}
    return Answered(tuple(map(int, pixels.indices)), found, about, pixels.columns)


def _measure(column: str, logits: Tensor, labels: Tensor) -> Metrics:
    known = labels != MISSING
    if not known.any():
        raise RunError(f"no image has a label{f' in column {column}' if column else ''}")
    return measure(logits[known], labels[known])
