"""The frozen part runs once: what learns is trained on stored values at its border.

Where images are not augmented, everything that is frozen computes the same in every epoch. A held
composite is split at the border: the front runs once over all images, the rest is trained on what
came out. Values that only heads read are pooled before they are stored, as heads do it themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.utils.data import Dataset

from convgraft.compose import Composite
from convgraft.data import Pixels
from convgraft.training.memory_format import fastest_format, laid_out
from convgraft.training.steady import steady_nodes

STORE_BYTES = 4 * 2**30
BATCH = 128


@dataclass(frozen=True, eq=False)
class Split:
    """A composite in two: images to stored values, stored values to answers.

    Attributes:
        composite: the whole.
        front: the frozen part; gives a tuple of values, [N, C, H, W] or [N, C].
        rest: as the composite, and sharing its modules, from those values on.
    """

    composite: Composite
    front: fx.GraphModule
    rest: Composite

    @torch.inference_mode()
    def store(
        self, pixels: Pixels, on_progress: Callable[[int, int], None] | None = None
    ) -> Stored:
        """The values of all images, in memory."""
        self.front.eval()
        layout = fastest_format(self.composite)
        device = next(self.composite.parameters()).device
        parts: list[list[Tensor]] = []
        total = len(pixels.images)
        for start in range(0, total, BATCH):
            batch = laid_out(pixels.images[start : start + BATCH].to(device), layout)
            parts.append([value.cpu() for value in self.front(batch)])
            if on_progress:
                on_progress(min(start + BATCH, total), total)
        values = tuple(torch.cat(column).clone() for column in zip(*parts, strict=True))
        return Stored(values, pixels.columns)


class Stored(Dataset[tuple[tuple[Tensor, ...], dict[str, Tensor]]]):
    """Stored values and their labels, in batches for a loader that does not collate."""

    def __init__(self, values: tuple[Tensor, ...], labels: Mapping[str, Tensor]) -> None:
        """Row i of every tensor is image i."""
        self._values, self._labels = values, dict(labels)

    def __len__(self) -> int:
        """The number of images."""
        return len(self._values[0])

    def __getitems__(
        self, keys: Sequence[tuple[int, int]]
    ) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """A batch, from (epoch, position) of each of its images."""
        rows = torch.tensor([position for _, position in keys])
        values = tuple(value[rows] for value in self._values)
        return values, {name: labels[rows] for name, labels in self._labels.items()}


def split_frozen(held: Composite, images: int) -> Split | None:
    """The split of a held composite; None where it would save nothing, or not fit in memory.

    Args:
        images: how many there are to store values of.
    """
    graph = held.train_graph
    if str(graph.python_code("self").src) != str(held.graph.python_code("self").src):
        return None  # what learns computes otherwise in training
    steady = steady_nodes(held)
    seen = _from_image(graph)
    border = [n for n in steady if n in seen and any(user not in steady for user in n.users)]
    if not any(str(node.target).startswith(("sources.", "adapters.")) for node in steady):
        return None
    root = _root(held)
    front = fx.GraphModule(root, _front(graph, steady, border, held))
    size = held.plan.image_size
    with torch.inference_mode():
        device = next(held.parameters()).device
        images_of_three = torch.zeros(3, 3, size, size, dtype=torch.uint8, device=device)
        sample = front.eval()(images_of_three)
    if not all(isinstance(value, Tensor) and len(value) == 3 for value in sample):
        return None  # something at the border is not one value for each image
    if images * sum(value.nbytes for value in sample) > 3 * STORE_BYTES:
        return None
    rest = _rest(graph, [node for node in steady if node in seen], border)
    part = Composite(root, held.resolved, held.held, {False: rest, True: rest})
    return Split(held, front, part)


def _from_image(graph: fx.Graph) -> set[fx.Node]:
    """The nodes whose values depend on the image; the others are constants and weights."""
    seen = set(graph.find_nodes(op="placeholder"))
    for node in graph.nodes:
        if any(argument in seen for argument in node.all_input_nodes):
            seen.add(node)
    return seen


def _root(held: Composite) -> nn.Module:
    root = nn.Module()
    for name, child in held.named_children():
        root.add_module(name, child)
    return root


def _front(
    graph: fx.Graph, steady: Collection[fx.Node], border: Sequence[fx.Node], held: Composite
) -> fx.Graph:
    front = fx.Graph()
    env: dict[fx.Node, fx.Node] = {}
    for node in steady:
        env[node] = front.node_copy(node, env.__getitem__)
    values = [
        front.call_function(_pool, (env[node],)) if _is_pooled(node, steady, held) else env[node]
        for node in border
    ]
    front.output(tuple(values))
    return front


def _rest(graph: fx.Graph, steady: Collection[fx.Node], border: Sequence[fx.Node]) -> fx.Graph:
    rest = fx.Graph()
    env = {node: rest.placeholder(f"value{number}") for number, node in enumerate(border)}
    for node in graph.nodes:
        if node not in steady:
            env[node] = rest.node_copy(node, env.__getitem__)
    return rest


def _pool(value: Tensor) -> Tensor:
    """[N, C, H, W] to [N, C, 1, 1]; vectors as they are."""
    return value.mean((2, 3), keepdim=True) if value.dim() == 4 else value


def _is_pooled(node: fx.Node, steady: Collection[fx.Node], held: Composite) -> bool:
    """Whether all that read a value outside the front are heads that pool it first."""
    readers = [user for user in node.users if user not in steady]
    return all(
        reader.op == "call_module"
        and str(reader.target).startswith("heads.")
        and getattr(held.get_submodule(str(reader.target)), "pools", False)
        for reader in readers
    )
