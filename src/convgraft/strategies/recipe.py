"""A recipe: a plan, the sources it names, and what its training minimises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from convgraft.compose import source_ref
from convgraft.plan import Plan
from convgraft.sources import Source
from convgraft.training import Loss, task_loss


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a strategy and a loss come to.

    Attributes:
        plan: may hold more than what is kept in the end: teachers, taps that the loss looks at.
        sources: by the names that the plan gives them.
    """

    plan: Plan
    sources: Mapping[str, Source]
    loss: Loss

    @classmethod
    def plain(cls, plan: Plan, sources: Mapping[str, Source]) -> Recipe:
        """The plan as it is, and the cross-entropy of its trained answers."""
        return cls(plan, dict(sources), task_loss(plan))

    def with_teacher(self, source: str, name: str) -> tuple[Recipe, str]:
        """This recipe with a second, whole copy of a source, and the copy's name."""
        while any(ref.name == name for ref in self.plan.sources):
            name += "_"
        opened = self.sources[source]
        ref = self.plan.source(source)
        copied = replace(ref, name=name) if ref else source_ref(name, opened)
        plan = replace(self.plan, sources=(*self.plan.sources, copied))
        return replace(self, plan=plan, sources={**self.sources, name: opened}), name
