"""A freeze policy worked out for one composite: every weight's rate, every held module.

Frozen means frozen: no gradient, and the module stays in evaluation mode whatever calls `train()`,
so that batch norm's running statistics do not move either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from convgraft.compose import Composite
from convgraft.errors import UsageError
from convgraft.sources import Place, Survey
from convgraft.training.policies import PRESETS, FreezePolicy, Phase


@dataclass(frozen=True)
class Freeze:
    """One phase of a policy worked out for one composite.

    Attributes:
        rates: parameter name to its share of the learning rate; 0 is frozen.
        decays: parameter name to its share of the weight decay.
        held: paths of the modules that stay in evaluation mode.
    """

    rates: Mapping[str, float]
    decays: Mapping[str, float]
    held: frozenset[str]

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the frozen parameters."""
        return tuple(name for name, rate in self.rates.items() if rate == 0)


def work_out(policy: FreezePolicy, composite: Composite) -> Freeze:
    """What the policy's last phase lets learn; raises as `work_out_phases` does."""
    return work_out_phases(policy, composite)[-1]


def work_out_phases(policy: FreezePolicy, composite: Composite) -> tuple[Freeze, ...]:
    """Ask each phase about every weight and module; raises UsageError where nothing would learn.

    A selection of a policy file that covers nothing is a mistake too.
    """
    places = _Places(composite)
    modules = {path: places.of(path) for path, _ in composite.named_modules() if "." in path}
    weights = {name: places.of(name) for name, _ in composite.named_parameters()}
    for phase in policy.phases if policy.name not in PRESETS else ():
        idle = phase.idle_rules([*modules.values(), *weights.values()])
        if idle:
            raise UsageError(f'the freeze policy selects nothing with "{idle[0]}"')
    return tuple(_phase(phase, policy.name, composite, modules, weights) for phase in policy.phases)


def _phase(
    phase: Phase,
    policy: str,
    composite: Composite,
    modules: Mapping[str, Place],
    weights: Mapping[str, Place],
) -> Freeze:
    rules = {name: phase.rule(place) for name, place in weights.items()}
    rates = {name: rule.rate_at(weights[name]) for name, rule in rules.items()}
    if not any(rates.values()):
        named = f' in phase "{phase.name}"' if phase.name != policy else ""
        raise UsageError(
            f'with the freeze policy "{policy}" nothing learns{named}',
            found=f"{len(rates)} weights, all frozen",
            hint="a head with weights, or --freeze all",
        )
    decays = {name: rule.weight_decay for name, rule in rules.items()}
    held = _held(composite, phase, modules, rates) | _still(composite, phase, modules)
    return Freeze(rates, decays, held)


def _still(composite: Composite, phase: Phase, modules: Mapping[str, Place]) -> frozenset[str]:
    """Batch norms whose statistics the phase keeps, while their weights may learn."""
    norms = (
        path
        for path, m in composite.named_modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm)
    )
    return frozenset(p for p in norms if p in modules and not phase.rule(modules[p]).statistics)


def _held(
    composite: Composite,
    phase: Phase,
    modules: Mapping[str, Place],
    rates: Mapping[str, float],
) -> frozenset[str]:
    """Modules all of whose parts are frozen, from the leaves up."""
    held: set[str] = set()
    for path, module in [*composite.named_modules()][::-1]:
        own = [
            rates.get(f"{path}.{name}", 1.0) for name, _ in module.named_parameters(recurse=False)
        ]
        children = [f"{path}.{name}" for name, _ in module.named_children()]
        if not path or path.startswith("preprocess") or "." not in path:
            continue
        if children:
            frozen = not any(own) and all(child in held for child in children)
        else:
            frozen = not any(own) if own else phase.rule(modules[path]).rate == 0
        if frozen:
            held.add(path)
    return frozenset(held)


class _Places:
    """Module and parameter paths of a composite as places that selections understand."""

    def __init__(self, composite: Composite) -> None:
        self._surveys = composite.resolved.checked.surveys
        self._kinds = {name: _kinds(survey) for name, survey in self._surveys.items()}

    def of(self, path: str) -> Place:
        section, _, rest = path.partition(".")
        if section != "sources":
            return Place(section, (rest,))
        source, _, inner = rest.partition(".")
        around = [".".join(inner.split(".")[:n]) for n in range(1, inner.count(".") + 2)]
        kinds = [self._kinds[source].get(prefix, frozenset()) for prefix in around]
        depths = self._surveys[source].depth_of
        depth = next((depths[p] for p in reversed(around) if p in depths), None)
        return Place(source, (inner,), depth, frozenset().union(*kinds))


def _kinds(survey: Survey) -> dict[str, frozenset[str]]:
    kinds: dict[str, frozenset[str]] = {}
    for tap in survey.taps:
        for name in tap.names:
            kinds[name] = kinds.get(name, frozenset()) | {tap.kind}
    return kinds


def apply_freeze(composite: Composite, freeze: Freeze) -> Composite:
    """The composite, its frozen weights without gradient, its held modules in evaluation mode."""
    for name, parameter in composite.named_parameters():
        parameter.requires_grad_(freeze.rates[name] > 0)
    return composite.holding(freeze.held)


def trainable_state(composite: Composite, freeze: Freeze) -> Mapping[str, Tensor]:
    """The tensors that training can change: trained weights, and buffers of parts not held."""
    return {
        name: tensor for name, tensor in composite.state_dict().items() if _changes(name, freeze)
    }


def _changes(name: str, freeze: Freeze) -> bool:
    """A held batch norm keeps its statistics, and its weights may learn."""
    if name in freeze.rates:
        return freeze.rates[name] > 0
    return name.rpartition(".")[0] not in freeze.held
