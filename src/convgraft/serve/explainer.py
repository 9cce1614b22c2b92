"""Why a run answered what it answered, for one picture."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convgraft.compose import Composite
from convgraft.export import Run, load
from convgraft.report.fusion_map import fusion_map
from convgraft.serve.chances import chance, most_probable
from convgraft.serve.evidence import grad_cam
from convgraft.serve.names import short_name
from convgraft.serve.schemas import Evidence, Explanation, Map, SourceAnswer
from convgraft.serve.source_answers import Alone, source_answers
from convgraft.serve.strengths import UsedWire, strengths, used_wires
from convgraft.serve.trace import Trace
from convgraft.studies.gates import wire_gates


class Explainer:
    """Explains a run's answers; to be asked from one thread at a time.

    The network is loaded when it is first asked. It is the PyTorch one, whatever engine answers.
    """

    def __init__(self, folder: Path, *, trust_python: bool = False) -> None:
        self.folder, self.trust_python = folder, trust_python

    @cached_property
    def run(self) -> Run:
        """The run, loaded."""
        return load(self.folder, trust_python=self.trust_python)

    @cached_property
    def map(self) -> Map:
        """The fusion map."""
        name = self.folder.resolve().name
        composite = self.run.composite
        drawn = fusion_map(_named_shortly(composite), name, gates=wire_gates(composite))
        return Map(title=name, svg=str(drawn.svg))

    @cached_property
    def wires(self) -> tuple[UsedWire, ...]:
        """The wires that an answer depends on."""
        return used_wires(self.run.composite)

    def explain(self, pixels: NDArray[np.uint8], top: int, index: int | None) -> Explanation:
        """What each network says and saw in one picture, and how strongly each part worked.

        Args:
            pixels: uint8 [3, S, S].
            top: how many classes of each network.
            index: the class to explain; the most probable one when not given.
        """
        composite, labels = self.run.composite, self.run.labels
        image = torch.from_numpy(pixels)[None].float() / 255
        with torch.enable_grad():
            # a gradient must be there also where no weight has one; and networks may write
            # in place, which a leaf does not allow
            trace = Trace(composite, image.requires_grad_().clone())
            logits = trace.answers[composite.plan.answer][0].float()
            chosen = int(logits.argmax()) if index is None else index
            heat = grad_cam(logits[chosen], {name: it for name, (_, it) in trace.maps.items()})
        with torch.no_grad():
            chances = logits.softmax(0)
            alone = source_answers(composite, trace)
            return Explanation(
                explained=chance(labels, chances.numpy(), chosen),
                sources=[self._source(name, one, trace, heat, top) for name, one in alone.items()],
                strengths=strengths(composite, self.wires, trace),
            )

    def _source(
        self, name: str, alone: Alone, trace: Trace, heat: Mapping[str, Tensor], top: int
    ) -> SourceAnswer:
        composite, labels = self.run.composite, self.run.labels
        logits, ref = alone.logits, composite.plan.source(name)
        chances = None if logits is None else logits[0].float().softmax(0)
        seen = name in heat
        return SourceAnswer(
            name=name,
            network=short_name(ref.network) if ref else "",
            told=alone.told,
            words=alone.words,
            classes=[] if chances is None else most_probable(labels, chances.numpy(), top),
            evidence=_evidence(composite, name, trace.maps[name][0], heat[name]) if seen else None,
        )


def _named_shortly(composite: Composite) -> Composite:
    """A copy whose networks are named as strangers may read it."""
    twin = copy.deepcopy(composite)
    checked, plan = twin.resolved.checked, twin.plan
    refs = tuple(replace(ref, network=short_name(ref.network)) for ref in plan.sources)
    twin.resolved = replace(
        twin.resolved, checked=replace(checked, plan=replace(plan, sources=refs))
    )
    return twin


def _evidence(composite: Composite, source: str, node: str, heat: Tensor) -> Evidence:
    survey = composite.resolved.checked.surveys[source]
    tap = next((tap for tap, own in survey.nodes[False].items() if own == node), node)
    height, width = heat.shape
    values = [[round(value, 4) for value in row] for row in heat.tolist()]
    return Evidence(tap=tap, height=height, width=width, values=values)
