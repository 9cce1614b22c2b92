"""The frontier: which values of a composite to store, so that the frozen part runs once.

Everything that is frozen and deterministic can be computed once for each image. What learns reads
some of it in every epoch. Between the two lies a cut: values that are stored. A deeper cut saves
more arithmetic, a shallower one may need fewer bytes. Each steady value is on one of two sides,
computed once or computed in every step, and the cheapest choice is a minimum cut:

    storing a value that the other side reads    costs its bytes
    computing a value in every step              costs its work / WORK_PER_BYTE

(the project selection problem: Picard 1976, "Maximal closure of a graph"). Images are values too:
where nothing is frozen, the cut falls on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

from torch import fx

from convgraft.cache.cut import FLOAT_BYTES, Problem
from convgraft.cache.needs import Needs, late_writers, needs_of, upstream
from convgraft.cache.pooled import with_pooling
from convgraft.cache.steady import same_in_training, steady_nodes
from convgraft.compose import Composite
from convgraft.compose.cost import measured as dry_run
from convgraft.sources.dry_run import DryRun

WORK_PER_BYTE = 20  # an estimate: multiply-accumulates that cost as much as reading a byte
_IMAGES = 3  # of a dry run: a number that is unlikely to be another dimension by chance
_COARSER = 8  # by how much a byte becomes dearer when a cut does not fit


@dataclass(frozen=True, eq=False)
class Frontier:
    """A cut through a held composite's training graph.

    Attributes:
        held: the composite.
        graph: its training graph, with what pooling heads read pooled.
        steady: the nodes that are frozen and deterministic, in graph order.
        stored: the nodes whose values are to be stored, in graph order; never the image.
        reads_image: whether what learns reads pixels as well.
        shapes: of every node that gives one tensor for each image, without the batch.
        run: the dry run of the graph.
    """

    held: Composite
    graph: fx.Graph
    steady: tuple[fx.Node, ...]
    stored: tuple[fx.Node, ...]
    reads_image: bool
    shapes: Mapping[fx.Node, tuple[int, ...]]
    run: DryRun

    @property
    def needs(self) -> Needs:
        """What each node of the graph needs."""
        return needs_of(self.graph, self.run)

    @property
    def once(self) -> tuple[fx.Node, ...]:
        """The nodes that the stored values need: what runs once for each image."""
        return upstream(self.stored, self.needs)

    @property
    def again(self) -> tuple[fx.Node, ...]:
        """The nodes that every step runs, from the stored values and the image on."""
        known = {*self.stored, *self.graph.find_nodes(op="placeholder")}
        return upstream([self.graph.output_node()], self.needs, known)

    @property
    def bytes(self) -> int:
        """Bytes of the stored values of one image, in float32."""
        return sum(FLOAT_BYTES * prod(self.shapes[node]) for node in self.stored)

    @property
    def macs_once(self) -> int:
        """Multiply-accumulates that run once for each image and never again."""
        again = set(self.again)
        return sum(self.run.macs.get(n.name, 0) for n in self.once if n not in again)

    @property
    def macs_again(self) -> int:
        """Multiply-accumulates of a step's forward pass, for each image."""
        return sum(self.run.macs.get(node.name, 0) for node in self.again)


@dataclass(frozen=True)
class Refusal:
    """Why nothing is stored, in plain words that end a sentence."""

    reason: str


NOTHING_FROZEN = Refusal("no layer is frozen from the image on")


def find_frontier(
    held: Composite, room: int | None = None, *, at_rest: bool = False
) -> Frontier | None:
    """The cheapest cut of a held composite; None where no value is worth storing.

    The arguments are those of `frontier_or_reason`.
    """
    found = frontier_or_reason(held, room, at_rest=at_rest)
    return found if isinstance(found, Frontier) else None


def frontier_or_reason(
    held: Composite, room: int | None = None, *, at_rest: bool = False
) -> Frontier | Refusal:
    """The cheapest cut of a held composite, or why no value is worth storing.

    Args:
        held: with its frozen parts held, and with gradients as the freeze policy leaves them.
        room: bytes there are for the values of one image, in float32; None: as many as it takes.
        at_rest: whether nothing is trained, so that all that is held is frozen.
    """
    if not same_in_training(held):
        return Refusal("in training, a network that is not frozen computes otherwise than at rest")
    graph = with_pooling(held)
    steady = tuple(steady_nodes(held, graph, at_rest=at_rest))
    if not any(str(node.target).startswith(("sources.", "adapters.")) for node in steady):
        return NOTHING_FROZEN
    run, shapes = measured(held, graph)
    needs = needs_of(graph, run)
    steady = _needing_steady_alone(steady, needs)
    # a value that is overwritten is not the same later, and storing one overwrites nothing
    unfit = {*run.mutators(), *(node.name for node in late_writers(needs))}
    storable = {node for node in steady if node in shapes and node.name not in unfit}
    most = run.total + sum(prod(shape) for shape in shapes.values())
    per_byte = WORK_PER_BYTE
    while True:
        problem = Problem.of(graph, steady, storable, shapes, needs, run, per_byte)
        stored = problem.solve()
        image = [node for node in stored if node.op == "placeholder"]
        stored = tuple(node for node in stored if node not in image)
        if not stored and per_byte == WORK_PER_BYTE:
            return Refusal("to compute what is frozen takes less time than to read it")
        found = Frontier(held, graph, steady, stored, bool(image), shapes, run)
        if stored and (room is None or found.bytes <= room):
            return found
        if not stored or per_byte > most:  # there is no cut of fewer bytes
            return Refusal(f"what is worth storing does not fit in {room:,} bytes an image")
        per_byte *= _COARSER


def _needing_steady_alone(steady: Iterable[fx.Node], needs: Needs) -> tuple[fx.Node, ...]:
    """The steady nodes that read nothing which one that is not has overwritten."""
    found: dict[fx.Node, None] = {}
    for node in steady:
        if all(need in found for need in needs[node]):
            found[node] = None
    return tuple(found)


def measured(held: Composite, graph: fx.Graph) -> tuple[DryRun, dict[fx.Node, tuple[int, ...]]]:
    """A dry run of a graph of a composite, and the shapes of `Frontier`."""
    run = dry_run(held, graph=graph, images=_IMAGES)
    known = [node for node in run.order if run.shapes.get(node.name, ())[:1] == (_IMAGES,)]
    return run, {node: run.shapes[node.name][1:] for node in known}
