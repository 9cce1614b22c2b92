"""A composite as one network to be combined further.

A nested network takes the raw image: its own sources' preprocessing is part of it.
"""

from __future__ import annotations

from torch import Tensor, fx, nn

from convgraft.compose import Composite, Resolved
from convgraft.opening.unfold import unfold
from convgraft.plan import Plan
from convgraft.sources import Capture, Preprocessing, Source


def as_source(composite: Composite, spec: str, plan: Plan) -> Source:
    """The network behind a composite's main answer, as a source.

    Args:
        composite: it holds nothing.
        spec: what the source was made from.
        plan: of which the composite has the main answer at least.
    """
    captured = unfold(composite, plan.answer)
    module = NestedNetwork(dict(composite.named_children()), captured)
    classes = _classes(composite.resolved, plan.answer)
    own = preprocessing(plan)
    return Source(spec, module, captured, own, classes, plan.image_size, nested=plan)


def preprocessing(plan: Plan) -> Preprocessing:
    """What a nested plan wants its images to be: as they are, at its size."""
    return Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), plan.image_size)


def _classes(resolved: Resolved, answer: str) -> int:
    parts = {part.head.name: part for part in resolved.heads}
    if answer not in parts:
        return resolved.checked.sources[answer].classes
    return parts[answer].head.classes or parts[answer].inputs[0][0]


class NestedNetwork(nn.Module):
    """The parts of a composite, giving the logits of its main answer.

    A composite that it is nested in calls the parts one by one and drops what it does not need.
    """

    def __init__(self, parts: dict[str, nn.Module], captured: Capture) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.captured = captured

    def forward(self, image: Tensor) -> Tensor:
        """Images [N, 3, S, S] in [0, 1] to logits [N, classes]."""
        graph = self.captured.graph(self.training).fx
        return fx.Interpreter(self, graph=graph).run(image)
