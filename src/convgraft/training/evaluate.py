"""Run a composite over images, without gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convgraft.compose import Composite
from convgraft.data import MISSING, Pixels
from convgraft.errors import RunError
from convgraft.training.memory_format import fastest_format, laid_out
from convgraft.training.metrics import Metrics, measure


@torch.inference_mode()
def answers(
    composite: Composite,
    images: Tensor,
    *,
    batch_size: int = 128,
    layout: torch.memory_format | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Tensor]:
    """Logits [N, classes] of every answer, for images [N, 3, S, S]; the mode is as before after."""
    device = next(composite.parameters()).device
    was_training = composite.training
    composite.eval()
    layout = layout or fastest_format(composite)
    collected: dict[str, list[Tensor]] = {name: [] for name in composite.plan.answers}
    try:
        for start in range(0, len(images), batch_size):
            batch = laid_out(images[start : start + batch_size].to(device), layout)
            outputs = composite(batch)
            for name, logits in collected.items():
                logits.append(outputs[name].float().cpu())
            if on_progress:
                on_progress(min(start + batch_size, len(images)), len(images))
    finally:
        composite.train(was_training)
    return {name: torch.cat(parts) for name, parts in collected.items()}


def evaluate(
    composite: Composite,
    pixels: Pixels,
    *,
    batch_size: int = 128,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Metrics]:
    """Metrics of every answer about a label column there is, over images whose label is known."""
    if not len(pixels.labels):
        raise RunError("there are no images to evaluate on")
    found = answers(composite, pixels.images, batch_size=batch_size, on_progress=on_progress)
    columns = {name: composite.plan.column(name) for name in found}
    return {
        name: _measure(column, found[name], pixels.columns[column])
        for name, column in columns.items()
        if column in pixels.columns
    }


def _measure(column: str, logits: Tensor, labels: Tensor) -> Metrics:
    known = labels != MISSING
    if not known.any():
        raise RunError(f"no image has a label{f' in column {column}' if column else ''}")
    return measure(logits[known], labels[known])
