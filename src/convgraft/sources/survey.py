"""Taps of a source at one image size: names, shapes, strides, depths and kinds, from one dry run.

The graph is run on meta tensors, which have shapes and no data, so a survey costs no arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import fx, nn

from convgraft.errors import SourceError, near_miss
from convgraft.sources.capture import Capture, Graph
from convgraft.sources.dry_run import DryRun, dry_run
from convgraft.sources.kinds import Kinds
from convgraft.sources.paths import prefixes


@dataclass(frozen=True)
class Tap:
    """A named point in a source.

    Attributes:
        name: module path of the outermost module that returns this value, e.g. `layer1`.
        aliases: the other module paths that return it, e.g. `layer1.2`, `layer1.2.relu_1`.
        shape: (channels, height, width), or (channels,) for a vector.
        stride: input pixels per position.
        depth: share of the network's MACs spent up to here, 0 to 1.
        kind: one of `convgraft.sources.kinds.KINDS`.
        macs: multiply-accumulates per image spent up to here.
    """

    name: str
    aliases: tuple[str, ...]
    shape: tuple[int, ...]
    stride: float
    depth: float
    kind: str
    macs: int

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that selects this tap."""
        return (self.name, *self.aliases)

    @property
    def is_map(self) -> bool:
        """Whether it has height and width."""
        return len(self.shape) == 3


@dataclass(frozen=True, eq=False)
class Survey:
    """What one dry run of a source told.

    Attributes:
        image_size: side in pixels of the images.
        taps: in the order the network computes them.
        nodes: for training and for evaluation, tap name to graph node name.
        mutators: for training and for evaluation, node name to the nodes that overwrite its
            value in place later; nodes whose value stays are left out.
        depth_of: module path to depth, for every module the network calls.
        macs: multiply-accumulates per image of the whole network.
        parameters: number of weights the network's answer depends on.
    """

    image_size: int
    taps: tuple[Tap, ...]
    nodes: Mapping[bool, Mapping[str, str]]
    mutators: Mapping[bool, Mapping[str, tuple[str, ...]]]
    depth_of: Mapping[str, float]
    macs: int
    parameters: int

    @cached_property
    def _by_name(self) -> dict[str, Tap]:
        named = {alias: tap for tap in self.taps for alias in tap.aliases}
        return named | {tap.name: tap for tap in self.taps}

    def find(self, name: str) -> Tap | None:
        """The tap of that name or alias; `features`, `logits` and `input` name theirs by kind."""
        if found := self._by_name.get(name):
            return found
        if name in ("features", "logits", "input"):
            return next((tap for tap in self.taps if tap.kind == name), None)
        return None

    @property
    def side_taps(self) -> tuple[Tap, ...]:
        """What a side head reads by default: every block and the features.

        Where a network has few blocks, its activations stand for them.
        """
        blocks = tuple(tap for tap in self.taps if tap.kind in ("block", "features"))
        if len(blocks) < 4:
            return tuple(t for t in self.taps if t.kind in ("activation", "block", "features"))
        return blocks

    def tap(self, name: str) -> Tap:
        """As `find`; raises SourceError with near misses where there is none."""
        found = self.find(name)
        if found is None:
            raise SourceError(
                f'there is no tap "{name}"',
                expected="a module path that returns a map or a vector",
                hint=near_miss(name, self._by_name) or "list them with: convgraft taps SOURCE",
            )
        return found


def survey(module: nn.Module, capture: Capture, channels: int, image_size: int) -> Survey:
    """Dry-run both graphs on [2, channels, image_size, image_size] and describe every tap.

    Raises SourceError, naming the layer, where the image is too small for the network.
    """
    shape = (2, channels, image_size, image_size)
    real = bool(capture.opaque)
    run = dry_run(module, capture.eval.fx, [capture.eval.output], shape, real=real)
    train_run = run
    if capture.train is not capture.eval:
        train = capture.train
        train_run = dry_run(module, train.fx, [train.output], shape, training=True, real=real)
    taps, nodes = _taps(module, capture.eval, run, image_size)
    train_nodes = _same_taps(taps, capture.train, train_run)
    shared = tuple(tap for tap in taps if tap.name in train_nodes)
    return Survey(
        image_size=image_size,
        taps=shared,
        nodes={False: nodes, True: train_nodes},
        mutators={False: run.mutators(), True: train_run.mutators()},
        depth_of=_module_depths(capture.eval, run),
        macs=run.total,
        parameters=_reached_parameters(module, capture.eval, run.order),
    )


def _taps(
    module: nn.Module, graph: Graph, run: DryRun, image_size: int
) -> tuple[tuple[Tap, ...], dict[str, str]]:
    total = max(run.total, 1)
    kinds = Kinds(module, graph, run)
    taps: list[Tap] = []
    nodes: dict[str, str] = {}
    named = _named(graph, run.order)
    for node in run.order:
        shape = run.shapes.get(node.name, ())
        if len(shape) not in (2, 4) or node.op == "get_attr":
            continue
        name, *aliases = named[node.name]
        side = shape[-1] if len(shape) == 4 else 1
        taps.append(
            Tap(
                name=name,
                aliases=tuple(aliases),
                shape=shape[1:],
                stride=image_size / max(side, 1),
                depth=run.upto[node.name] / total,
                kind=kinds.of(node),
                macs=run.upto[node.name],
            )
        )
        nodes[name] = node.name
    return tuple(taps), nodes


def _named(graph: Graph, order: tuple[fx.Node, ...]) -> dict[str, tuple[str, ...]]:
    """Tap names of every node, outermost module path first.

    A bare function call is named after the module whose forward made it and the function:
    `Mixed_5b.cat`, and `Mixed_5b.cat_1` for the second one there.
    """
    named: dict[str, tuple[str, ...]] = {graph.input.name: ("input",)}
    counts: dict[str, int] = {}
    for node in order:
        if node.name in named:
            continue
        called = graph.results.get(node.name, ())
        if called:
            named[node.name] = tuple(reversed(called))
            continue
        scope = graph.scopes.get(node.name, "")
        function = getattr(node.target, "__name__", str(node.target))
        name = f"{scope}.{function}" if scope else function
        count = counts[name] = counts.get(name, -1) + 1
        named[node.name] = (f"{name}_{count}" if count else name,)
    return named


def _same_taps(taps: tuple[Tap, ...], graph: Graph, run: DryRun) -> dict[str, str]:
    """Where the taps of the evaluation graph stand in the training graph."""
    there = {name: node for node, names in _named(graph, run.order).items() for name in names}
    return {tap.name: there[tap.name] for tap in taps if tap.name in there}


def _module_depths(graph: Graph, run: DryRun) -> dict[str, float]:
    """Depth of every module that is called, and of every module around it (its last call)."""
    total = max(run.total, 1)
    depths: dict[str, float] = {}
    for node in run.order:
        if node.op not in ("call_module", "get_attr"):
            continue
        for path in prefixes(str(node.target)):
            depths[path] = max(depths.get(path, 0.0), run.upto[node.name] / total)
    return depths


def _reached_parameters(module: nn.Module, graph: Graph, order: tuple[fx.Node, ...]) -> int:
    targets = {str(node.target) for node in order if node.op in ("call_module", "get_attr")}
    reached = {
        id(parameter): parameter.numel()
        for name, parameter in module.named_parameters()
        if any(name == target or name.startswith(f"{target}.") for target in targets)
    }
    return sum(reached.values())
