"""Fit the votes of a composite on held-out answers: weights, stacks, bags and thresholds.

No gradient is taken and no network changes: only the votes' own numbers do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from convgraft.compose import Composite
from convgraft.data import MISSING, Pixels
from convgraft.errors import RunError
from convgraft.layers import HEADS
from convgraft.layers.fitted_votes import CascadeHead, GreedyHead, StackHead, WeightedHead
from convgraft.plan import Head, TapRef
from convgraft.plan.values import HEADS_OWNER
from convgraft.training.evaluate import answers
from convgraft.training.members import member_macs, member_name, member_network
from convgraft.training.metrics import Metrics, measure
from convgraft.training.mixtures import greedy_counts, safe_weights
from convgraft.training.stacking import fit_stack
from convgraft.training.thresholds import choose_thresholds

Notes = dict[str, Any]


def fitted_heads(composite: Composite) -> tuple[Head, ...]:
    """The heads whose numbers come from held-out answers, in the plan's order."""
    return tuple(head for head in composite.plan.heads if HEADS[head.kind].fitted)


def fit_votes(
    composite: Composite,
    pixels: Pixels,
    *,
    batch_size: int = 128,
    seed: int = 0,
    max_cost: float | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Notes]:
    """Fit every vote that has numbers of its own, in place; says what they came to, by answer.

    The networks run once over the images. Images without a label are left out. A vote over votes
    is fitted after those.

    Args:
        pixels: labelled images that the networks have not learned from; fitted to ones that they
            know by heart, a vote trusts the members that remember best.
        seed: of the stack's cross-validation.
        max_cost: for cascades, the MACs that an image may cost on average; by default the fewest
            with which the answers are as good as the last member's.

    Raises RunError where no image has a label.
    """
    if not fitted_heads(composite):
        return {}
    held_out = HeldOut(composite, pixels, batch_size=batch_size, on_progress=on_progress)
    return held_out.fit(seed=seed, max_cost=max_cost)


class HeldOut:
    """What a composite's heads read on held-out images, and the votes fitted to it."""

    def __init__(
        self,
        composite: Composite,
        pixels: Pixels,
        *,
        batch_size: int = 128,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.composite, self.pixels = composite, pixels
        self.answers = answers(
            composite, pixels.images, batch_size=batch_size, on_progress=on_progress
        )
        votes = [head for head in composite.plan.heads if HEADS[head.kind].takes == "logits"]
        taps = {ref for head in votes for ref in head.inputs if ref.source != HEADS_OWNER}
        # an identity head is its tap's value already; other taps are computed once more
        known = {h.inputs[0]: self.answers[h.name] for h in votes if h.kind == "identity"}
        self.taps = {
            ref: known[ref] if ref in known else self._computed(ref, batch_size) for ref in taps
        }

    def fit(self, *, seed: int = 0, max_cost: float | None = None) -> dict[str, Notes]:
        """As `fit_votes`; `answers` holds what the fitted votes answer afterwards."""
        notes: dict[str, Notes] = {}
        for head in self.composite.plan.heads:
            if HEADS[head.kind].takes != "logits":
                continue
            inputs, module = self._inputs(head), self._module(head.name)
            known, labels = self._labels(head.name)
            given = [x[known] for x in inputs]
            if any(torch.isnan(x).any() for x in given):
                raise RunError(
                    f'the vote "{head.name}" cannot be fitted: a network answers with no numbers',
                    found="NaN among the answers on held-out images",
                    hint="evaluate each network alone, to see which one",
                )
            if HEADS[head.kind].fitted:
                notes[head.name] = self._fit(head, module, given, labels, (seed, max_cost))
            self.answers[head.name] = _run(module, inputs)
            if HEADS[head.kind].fitted:
                worth = measure(self.answers[head.name][known], labels)
                notes[head.name] |= {"top1": worth.top1, "nll": worth.nll}
        return notes

    def metrics(self) -> dict[str, Metrics]:
        """Metrics of every answer on the held-out images."""
        found: dict[str, Metrics] = {}
        for name, logits in self.answers.items():
            known, labels = self._labels(name)
            found[name] = measure(logits[known], labels)
        return found

    def _computed(self, ref: TapRef, batch_size: int) -> Tensor:
        network = member_network(self.composite, ref)
        found = answers(network, self.pixels.images, batch_size=batch_size)
        return found[network.plan.answer]

    def _module(self, name: str) -> Any:
        return self.composite.get_submodule(f"heads.{name}")

    def _inputs(self, head: Head) -> list[Tensor]:
        """A vote's inputs [N, classes]; those that are votes themselves as they answer by now."""
        return [
            self.answers[ref.tap] if ref.source == HEADS_OWNER else self.taps[ref]
            for ref in head.inputs
        ]

    def _labels(self, answer: str) -> tuple[Tensor, Tensor]:
        """Which images have a label for an answer, and those labels."""
        labels = self.pixels.columns[self.composite.plan.column(answer)]
        known = labels != MISSING
        if not known.any():
            raise RunError(f'no held-out image has a label for "{answer}"')
        return known, labels[known]

    def _fit(
        self,
        head: Head,
        module: Any,
        inputs: Sequence[Tensor],
        labels: Tensor,
        choices: tuple[int, float | None],
    ) -> Notes:
        seed, max_cost = choices
        names = [member_name(ref) for ref in head.inputs]
        logs = torch.stack([x.log_softmax(1) for x in inputs])
        said: Mapping[str, Any] = {}
        if isinstance(module, WeightedHead):
            module.weights.copy_(safe_weights(logs, labels))
            said = {"weights": _by_name(names, module.weights)}
        elif isinstance(module, GreedyHead):
            module.counts.copy_(greedy_counts(logs, labels))
            said = {"counts": _by_name(names, module.counts)}
        elif isinstance(module, StackHead):
            said = _fit_stack(module, inputs, labels, seed)
        elif isinstance(module, CascadeHead):
            costs = [member_macs(self.composite, ref) for ref in head.inputs]
            said = _fit_cascade(module, logs, labels, (names, costs), max_cost)
        members = {name: measure(x, labels) for name, x in zip(names, inputs, strict=True)}
        return {
            "kind": head.kind,
            "images": len(labels),
            "members": {name: {"top1": m.top1, "nll": m.nll} for name, m in members.items()},
            **said,
        }


def _by_name(names: Sequence[str], values: Tensor) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


@torch.inference_mode()
def _run(module: torch.nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    device = next((buffer.device for buffer in module.buffers()), torch.device("cpu"))
    return module(*(x.to(device) for x in inputs)).float().cpu()


def _fit_stack(module: StackHead, inputs: Sequence[Tensor], labels: Tensor, seed: int) -> Notes:
    fresh = StackHead(len(inputs), inputs[0].shape[1])
    features = fresh.features(*inputs)
    stack = fit_stack(features, labels, fresh.weight, fresh.bias, seed)
    module.weight.copy_(stack.weight)
    module.bias.copy_(stack.bias)
    missing = inputs[0].shape[1] - len(labels.unique())
    return {"C": stack.strength, "cross_validated_nll": stack.nll, "classes_without": missing}


def _fit_cascade(
    module: CascadeHead,
    logs: Tensor,
    labels: Tensor,
    members: tuple[Sequence[str], Sequence[int]],
    max_cost: float | None,
) -> Notes:
    names, costs = members
    found = choose_thresholds(logs, labels, costs, max_cost)
    module.thresholds.copy_(torch.tensor(found.thresholds))
    return {
        "thresholds": _by_name(names[:-1], module.thresholds),
        "shares": dict(zip(names, found.shares, strict=True)),
        "macs": round(found.cost),
        "macs_of_members": dict(zip(names, costs, strict=True)),
    }
