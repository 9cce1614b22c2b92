"""The loss of a step and its gradients as one compiled function, by `torch.compile`.

What is compiled is the whole way from a batch to its loss. Tracing it also traces the way back, so
that `backward` runs a compiled function too. It is compiled once, for one number of images: the
smaller last batch of an epoch runs as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from convgraft.errors import UsageError

Inputs = tuple[Tensor, ...]
Labels = Mapping[str, Tensor]
Loss = Callable[[Inputs, Labels], Tensor]

INDUCTOR = "inductor"
# dropout draws the numbers that it would draw uncompiled: the same seed gives the same network
SETTINGS: Mapping[str, Mapping[str, Any]] = {INDUCTOR: {"fallback_random": True}}


class CompiledLoss:
    """A loss that gives what it gives uncompiled, but for rounding.

    Args:
        loss: of a batch's inputs [N, ...] and its labels [N] by column, a scalar. It may not look
            at values on its way (`.item()`), or it is compiled in parts.
        backend: of `torch.compile`.

    Attributes:
        rows: how many images it is compiled for: the most that it has seen at once.
    """

    def __init__(self, loss: Loss, backend: str | Callable[..., Any] = INDUCTOR) -> None:
        self._loss, self.rows = loss, 0
        options = dict(SETTINGS.get(backend, {})) if isinstance(backend, str) else {}
        self._compiled: Any = torch.compile(
            loss, backend=backend, dynamic=False, options=options or None, **_apart()
        )

    def __call__(self, inputs: Inputs, labels: Labels) -> Tensor:
        """The loss of a batch; raises UsageError where it cannot be compiled on this machine."""
        rows = len(inputs[0])
        if rows < self.rows:
            return self._loss(inputs, labels)
        if rows == self.rows:
            return self._compiled(inputs, labels)
        self.rows = rows
        return self._first(inputs, labels)

    def _first(self, inputs: Inputs, labels: Labels) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException  # of a compiler: seconds to import

        try:
            return self._compiled(inputs, labels)
        except TorchDynamoException as error:
            cause = getattr(error, "inner_exception", error)
            raise UsageError(
                "the training step cannot be compiled on this machine",
                found=f"{type(cause).__name__}: {cause}".splitlines()[0],
                hint="without --compile; it needs a C++ compiler, and on a GPU also Triton",
            ) from error


def check_compilable(balance: str, world: int) -> None:
    """Raise UsageError for a step that cannot be one function."""
    if balance == "gradnorm" or world > 1:
        raise UsageError(
            "this training step cannot be compiled",
            found="--balance gradnorm" if balance == "gradnorm" else f"{world} ranks",
            hint="without --compile",
        )


def _apart() -> dict[str, Any]:
    """Fits of one process are compiled apart, else torch gives up after eight of them.

    PyTorch before 2.13 cannot do that; later fits then run uncompiled, with its warning.
    """
    known = inspect.signature(torch.compile).parameters
    return {"isolate_recompiles": True} if "isolate_recompiles" in known else {}
