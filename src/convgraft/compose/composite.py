"""The compiled network: a plain `nn.Module` with one image in and named answers out."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, fx, nn
from torch.fx.graph import PythonCode

from convgraft.compose.check import check
from convgraft.compose.link import build_modules, link_graph
from convgraft.compose.prune import prune_modules
from convgraft.compose.resolve import Resolved, resolve
from convgraft.compose.share import share_prefixes
from convgraft.errors import PlanError, Problem, UsageError
from convgraft.plan import Plan
from convgraft.sources import Source
from convgraft.sources.capture import same_code
from convgraft.sources.paths import prefixes


class Composite(fx.GraphModule):
    """Several networks compiled into one `fx.GraphModule`.

    Calling it with images [N, 3, S, S], RGB, uint8 or float in [0, 1], gives a dict of answers:
    logits [N, classes] by name. Weights are named `sources.a.layer1...`,
    `adapters.a:layer2->b:layer3...`, `joins...`, `heads.label...`.

    Attributes:
        resolved: the plan it was made from, with sources and shapes.
        held: paths of modules that stay in evaluation mode whatever calls `train()`.
    """

    resolved: Resolved
    held: frozenset[str]

    def __init__(
        self,
        root: nn.Module,
        resolved: Resolved,
        held: frozenset[str],
        graphs: Mapping[bool, fx.Graph],
    ) -> None:
        super().__init__(root, graphs[False], class_name="Composite")
        for name, child in root.named_children():
            setattr(self, name, child)
        self.resolved, self.held = resolved, held
        self.train_graph = graphs[True]
        self.recompile()
        if held:
            parts = {m for path in held for m in self.get_submodule(path).modules()}
            self._held_parts = tuple(parts)
            self.register_forward_pre_hook(_keep_held)

    def recompile(self) -> PythonCode:
        """Where training runs another graph, `forward` chooses by `self.training`."""
        code = super().recompile()
        if hasattr(self, "train_graph") and not same_code(self.train_graph, self.graph):
            cls: Any = type(self)
            cls._forward_train = type(fx.GraphModule(self, self.train_graph)).forward
            cls._forward_eval = cls.forward
            cls.forward = _forward_by_mode
        return code

    @property
    def plan(self) -> Plan:
        """The plan it was made from."""
        return self.resolved.checked.plan

    @property
    def complete_plan(self) -> Plan:
        """The plan with its sources' classes, preprocessing and nested plans, as a run keeps it."""
        return self.resolved.checked.complete_plan

    def train(self, mode: bool = True) -> Composite:
        """As `nn.Module.train`, but held modules stay in evaluation mode."""
        super().train(mode)
        if mode:
            for path in self.held:
                self.get_submodule(path).eval()
        return self

    def holding(self, paths: Collection[str]) -> Composite:
        """This composite with other modules held; both share their weights.

        A source whose root is held runs its evaluation graph, and prefixes that two such sources
        share are computed once.
        """
        root = self.root()
        known = {path for path, _ in self.named_modules()}
        held = frozenset(path for path in paths if path in known)
        linked = Composite(root, self.resolved, held, _link_modes(self.resolved, root, held))
        return linked.train(self.training)

    def __deepcopy__(self, memo: dict[int, Any]) -> Composite:
        twin = memo[id(self)] = self._twin(copy.deepcopy(self.root(), memo))
        return twin

    def __copy__(self) -> Composite:
        return self._twin(self.root())

    def __reduce__(self) -> tuple[Any, ...]:
        raise UsageError(
            "a composite is not pickled",
            expected="its weights, composite.state_dict(), and its plan as text",
            hint="convgraft.save(...) writes both, convgraft.load(...) reads them",
        )

    def root(self) -> nn.Module:
        """A plain module that holds its parts."""
        root = nn.Module()
        for name, child in self.named_children():
            root.add_module(name, child)
        return root

    def _twin(self, root: nn.Module) -> Composite:
        graphs = {False: copy.deepcopy(self.graph), True: copy.deepcopy(self.train_graph)}
        twin = Composite(root, self.resolved, self.held, graphs)
        twin.training = self.training
        return twin


def _keep_held(composite: Any, inputs: Any) -> None:
    """Held parts are in evaluation mode even if somebody called `train()` on them alone."""
    for part in composite._held_parts:
        if part.training:
            part.training = False


def _forward_by_mode(self: Any, image: Tensor) -> dict[str, Tensor]:
    return self._forward_train(image) if self.training else self._forward_eval(image)


def _link_modes(resolved: Resolved, root: nn.Module, held: frozenset[str]) -> dict[bool, fx.Graph]:
    """The graph for training and the one for evaluation."""
    names = list(resolved.checked.sources)
    held_sources = [name for name in names if f"sources.{name}" in held]
    graphs: dict[bool, fx.Graph] = {}
    for mode in (False, True):
        training = {name: mode and name not in held_sources for name in names}
        graphs[mode] = link_graph(resolved, training)
        share_prefixes(graphs[mode], root, held_sources)
    return graphs


def compose(plan: Plan, sources: Mapping[str, Source], *, seed: int = 0) -> Composite:
    """Compile a plan: check, resolve, link, prune.

    Args:
        plan: what to combine and how; its learned heads know their number of classes.
        sources: opened sources by name.
        seed: of the weights of adapters, joins and heads.

    Raises PlanError with every problem of the plan, before a weight is loaded.
    """
    resolved = resolve(check(plan, sources))
    graphs = {mode: link_graph(resolved, dict.fromkeys(sources, mode)) for mode in (False, True)}
    _refuse_absent(sources, graphs[False])
    root = build_modules(resolved, seed)
    prune_modules(root, graphs.values())
    for graph in graphs.values():
        share_prefixes(graph, root, held=())
    return Composite(root, resolved, frozenset(), graphs).train()


def keep_answers(composite: Composite, answers: Collection[str]) -> Composite:
    """The same network with those answers alone; teachers and other help in training are gone."""
    plan = composite.plan.keeping(answers)
    if plan == composite.plan:
        return composite
    opened = composite.resolved.checked.sources
    kept = compose(plan, {ref.name: opened[ref.name] for ref in plan.sources})
    state = composite.state_dict()
    kept.load_state_dict({name: state[name] for name in kept.state_dict()})
    return kept.holding(composite.held).train(composite.training)


def _refuse_absent(sources: Mapping[str, Source], graph: fx.Graph) -> None:
    """Weights that a source's run had pruned would be random here; no answer may use them."""
    used = {str(node.target) for node in graph.nodes}
    problems = [
        Problem(
            f"sources.{name}",
            f'an answer depends on "{absent}", which the weights of "{one.spec}" lack',
            found="the run that they are from had pruned it",
            hint="a head of its own on that source's features",
        )
        for name, one in sources.items()
        for absent in one.absent
        if not used.isdisjoint(prefixes(f"sources.{name}.{absent}"))
    ]
    if problems:
        raise PlanError(problems)
