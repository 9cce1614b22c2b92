"""The weights of a run: what the file's header says is checked before a tensor is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from convgraft.errors import ArtifactError

Value = TypeVar("Value")
COPY = "a whole copy of the run: its files belong together"


class Weights:
    """A run's `model.safetensors`, opened; nothing in it is unpickled.

    Attributes:
        path: of the file.
        metadata: what it says of itself.
        shapes: of its tensors by name, as the header tells them.

    Raises ArtifactError where the file is not whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata, self.shapes = self._reading(_header)

    def checked(self, network: nn.Module) -> dict[str, Tensor]:
        """The tensors of a network, by the names that it gives them.

        Raises ArtifactError where names, shapes or types are others, or weights are not finite.
        """
        own = network.state_dict()
        shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
        self._refuse({name for name in shapes if self.shapes.get(name) != shapes[name]})
        self._refuse(self.shapes.keys() - own.keys())
        state = self._reading(lambda file: {name: file.get_tensor(name) for name in own})
        self._refuse({name for name, tensor in own.items() if state[name].dtype != tensor.dtype})
        self._refuse_not_finite(state, {name for name, _ in network.named_parameters()})
        return state

    def _refuse_not_finite(self, state: Mapping[str, Tensor], learned: set[str]) -> None:
        """Buffers may hold infinities (a mask, a threshold); nothing may hold NaN."""
        for name, tensor in state.items():
            bad = tensor.isfinite().logical_not() if name in learned else tensor.isnan()
            if bad.any():
                raise ArtifactError(
                    f'"{self.path}" holds weights that are not finite',
                    found=f"{tensor[bad][0].item()} in {name}",
                    hint="its fit again, with a smaller --lr",
                )

    def _refuse(self, names: set[str]) -> None:
        if names:
            raise ArtifactError(
                f'"{self.path.parent}": the weights are not of the plan',
                found=f"{len(names)} tensors differ, e.g. {min(names)}",
                hint=COPY,
            )

    def _reading(self, read: Callable[[Any], Value]) -> Value:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="pt") as file:
                return read(file)
        except (SafetensorError, OSError, ValueError, RuntimeError, MemoryError) as error:
            raise ArtifactError(
                f'"{self.path}" cannot be read', found=str(error), hint=COPY
            ) from error


def _header(file: Any) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return dict(file.metadata() or {}), shapes
