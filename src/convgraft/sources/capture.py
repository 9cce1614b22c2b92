"""Exact capture: a network as `torch.fx` graphs, one for training and one for evaluation.

The traced graphs compute what the network's `forward` computes, bit for bit. What is particular
to one mode (Inception's auxiliary head, functional dropout) differs between the two graphs, so
both are kept. A submodule whose Python code cannot be traced becomes one opaque node; where the
network's own forward is in the way, the error names its line.
"""

from __future__ import annotations

import contextlib
import math
import random
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, fx, nn

from convgraft.errors import SourceError
from convgraft.sources.in_place import name_changes

_LIBRARY_CODE = (str(Path(torch.__file__).parent), contextlib.__file__)
RANDOM_DEPTH_LAYERS = ("DropPath", "StochasticDepth", "DropBlock2d")


@dataclass(frozen=True, eq=False)
class Graph:
    """One traced forward.

    Attributes:
        fx: the traced graph; its targets are module paths of the network.
        results: for each node's name the module calls that returned it, innermost first
            (`layer1.0.relu_1`, `layer1.0`, `layer1`); a second call of a module is `_1`.
        scopes: for each node's name the path of the module whose forward made it, "" for the
            network itself.
    """

    fx: fx.Graph
    results: Mapping[str, tuple[str, ...]]
    scopes: Mapping[str, str]

    @property
    def output(self) -> fx.Node:
        """The node that holds the logits: the first where the network returns several."""
        returned: Any = self.fx.output_node().args[0]
        while not _is_value(returned):
            fields = returned.args if isinstance(returned, fx.Node) else returned
            returned = next(iter(fields.values() if isinstance(fields, Mapping) else fields))
        return returned

    @property
    def input(self) -> fx.Node:
        """The placeholder of the image."""
        return self.fx.find_nodes(op="placeholder")[0]


def _is_value(returned: object) -> bool:
    """Whether this is one tensor's node, not a tuple, a mapping or a node that makes a tuple."""
    if not isinstance(returned, fx.Node):
        return False
    return not (isinstance(returned.target, type) and issubclass(returned.target, tuple))


@dataclass(frozen=True, eq=False)
class Capture:
    """Both graphs of a network.

    Attributes:
        train, eval: the traced forwards; the same value where the modes do not differ.
        opaque: paths of submodules that could not be traced and are called whole.
    """

    train: Graph
    eval: Graph
    opaque: tuple[str, ...]

    def graph(self, training: bool) -> Graph:
        """The graph of one mode."""
        return self.train if training else self.eval


def capture(module: nn.Module, *, name: str = "the network") -> Capture:
    """Trace `module` in both modes.

    The module's training flags are as before afterwards. Raises SourceError, naming file and line,
    where the forward of the network itself cannot be traced.
    """
    flags = {path: part.training for path, part in module.named_modules()}
    opaque: set[str] = set()
    try:
        train = _trace_past_obstacles(module.train(), opaque, name)
        evaluation = _trace_past_obstacles(module.eval(), opaque, name)
    finally:
        for path, part in module.named_modules():
            part.training = flags.get(path, part.training)
    if same_code(train.fx, evaluation.fx):
        train = evaluation
    return Capture(train, evaluation, tuple(sorted(opaque)))


def same_code(one: fx.Graph, other: fx.Graph) -> bool:
    """Whether two graphs do the same, step by step."""
    return one.python_code("self").src == other.python_code("self").src


def _trace_past_obstacles(module: nn.Module, opaque: set[str], name: str) -> Graph:
    """Trace; when a submodule is in the way, make it opaque and trace again."""
    while True:
        tracer = CallTracer(module, frozenset(opaque))
        try:
            with _no_random_numbers():
                graph = tracer.trace(module)
        except Exception as error:
            if not tracer.obstacle:
                raise _refusal(error, name) from error
            opaque.add(tracer.obstacle)
            continue
        name_changes(graph, module)
        return tracer.graph_with_names(graph)


@contextmanager
def _no_random_numbers() -> Iterator[None]:
    """Raise where code draws random numbers while it is traced: they would become constants.

    The generators are as before afterwards.
    """
    before = torch.random.get_rng_state(), random.getstate()
    try:
        yield
        if (
            not torch.equal(torch.random.get_rng_state(), before[0])
            or random.getstate() != before[1]
        ):
            raise RuntimeError("it draws random numbers that do not depend on its input")
    finally:
        torch.random.set_rng_state(before[0])
        random.setstate(before[1])


def _refusal(error: Exception, name: str) -> SourceError:
    """Name the last line of the model's own code on the way to the error."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_LIBRARY_CODE) and frame.filename != __file__
    ]
    reason = next(iter(str(error).splitlines()), "")
    where = f"{own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else "its forward"
    return SourceError(
        f"{name} cannot be captured: its forward decides by the values it computes",
        expected="a forward without branches on tensor values, outside of submodules",
        found=f"{where} ({type(error).__name__}: {reason})",
        hint="move that code into a submodule of its own; it is then called whole",
    )


class _BufferProxy(fx.Proxy):
    """A buffer in the graph: its values are traced, its shape is known and may be branched on."""

    def __init__(self, proxy: fx.Proxy, buffer: Tensor) -> None:
        super().__init__(proxy.node, proxy.tracer)
        self._buffer = buffer

    @property
    def shape(self) -> torch.Size:
        return self._buffer.shape

    @property
    def ndim(self) -> int:
        return self._buffer.ndim

    def size(self, *dim: int) -> Any:
        return self._buffer.size(*dim)

    def dim(self) -> int:
        return self._buffer.dim()

    def numel(self) -> int:
        return self._buffer.numel()


class CallTracer(fx.Tracer):
    """Records which node each module call returned, and where tracing got stuck."""

    proxy_buffer_attributes = True  # else arithmetic on buffers would be done once, while tracing

    def __init__(self, module: nn.Module, opaque: frozenset[str]) -> None:
        leaves, functions, wrapped = _tracing_rules(module)
        super().__init__(
            autowrap_modules=wrapped,  # type: ignore[arg-type]
            autowrap_functions=functions,
        )
        self._leaves, self._opaque = leaves, opaque
        self.results: dict[str, list[str]] = {}
        self.scopes: dict[str, str] = {}
        self.obstacle: str = ""
        self._calls: dict[str, int] = {}
        self._stack: list[str] = []

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Buffers become values whose shape is known."""
        value = super().getattr(attr, attr_val, parameter_proxy_cache)
        is_buffer = isinstance(attr_val, Tensor) and not isinstance(attr_val, nn.Parameter)
        if is_buffer and isinstance(value, fx.Proxy):
            return _BufferProxy(value, attr_val)
        return value

    def create_args_for_root(self, *args: Any, **kwargs: Any) -> Any:
        """Optional inputs of the forward keep their default: only the image is traced."""
        function, inputs = super().create_args_for_root(*args, **kwargs)
        return function, [self._without_default(value) for value in inputs]

    def _without_default(self, value: Any) -> Any:
        if not isinstance(value, fx.Proxy) or not value.node.args:
            return value
        self.graph.erase_node(value.node)
        return value.node.args[0]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Layers of the libraries, and what could not be traced, are called whole."""
        if module_qualified_name in self._opaque or isinstance(m, self._leaves):
            return True
        return super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Calls, and records what was returned or that this call is in the way."""
        path = self.path_of_module(m)
        count = self._calls[path] = self._calls.get(path, -1) + 1
        self._stack.append(path)
        try:
            with _no_random_numbers():
                result = super().call_module(m, forward, args, kwargs)
        except Exception:
            self.obstacle = self.obstacle or path
            raise
        self._stack.pop()
        if isinstance(result, fx.Proxy):
            called = path if count == 0 else f"{path}_{count}"
            self.results.setdefault(result.node.name, []).append(called)
        return result

    def graph_with_names(self, graph: fx.Graph) -> Graph:
        """What was traced, with what was recorded of it."""
        results = {node: tuple(paths) for node, paths in self.results.items()}
        return Graph(graph, results, dict(self.scopes))

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """Adds a node, and records whose forward made it."""
        node = super().create_node(*args, **kwargs)
        self.scopes[node.name] = self._stack[-1] if self._stack else ""
        return node


def _tracing_rules(
    module: nn.Module,
) -> tuple[tuple[type, ...], tuple[Any, ...], tuple[ModuleType, ...]]:
    """Leaf classes, functions to keep whole, and modules whose functions are kept whole."""
    import torchvision.ops

    leaves = {kind for kind in vars(torchvision.ops).values() if _is_traceable_leaf(kind)}
    functions: tuple[Any, ...] = ()
    if any(type(part).__module__.startswith("timm.") for part in module.modules()):
        import timm.models

        leaves |= set(timm.models.get_notrace_modules())
        functions = tuple(f for f in timm.models.get_notrace_functions() if callable(f))
    leaves |= {
        type(part) for part in module.modules() if type(part).__name__ in RANDOM_DEPTH_LAYERS
    }
    return tuple(leaves), functions, (math, torchvision.ops)


def _is_traceable_leaf(kind: object) -> bool:
    """torchvision's own layers (box operators, stochastic depth), but not its blocks of layers."""
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        return False
    return kind.__module__ != "torchvision.ops.misc"
