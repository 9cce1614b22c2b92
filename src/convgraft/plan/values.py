"""Plans: names and numbers that say how networks are combined. No tensors here.

image 32
source a = cifar_resnet20@w.safetensors classes=10
source b = cifar_resnet56 classes=10
wire a:layer1 -> b:layer1 join=add adapter=identity start=zero
head label = linear(a:flatten, b:flatten) classes=8
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

HEADS_OWNER = "heads"
LEARNED_HEADS = ("linear", "ridge", "mlp", "side")
LABELLED_HEADS = (*LEARNED_HEADS, "identity")
_NOT_IN_TAPS = re.compile(r"[\s,()]")  # what the text form tells taps apart by


@dataclass(frozen=True, order=True)
class TapRef:
    """A tap of a source, `a:layer2`, or the answer of another head, `heads:a`."""

    source: str
    tap: str

    def __str__(self) -> str:
        return f"{self.source}:{self.tap}"

    @classmethod
    def parse(cls, text: str) -> TapRef:
        """Read `SOURCE:TAP`; raises ValueError where it is not of that form."""
        source, colon, tap = text.strip().partition(":")
        if not (source and colon and tap) or _NOT_IN_TAPS.search(source + tap):
            raise ValueError(f'"{text}" is not of the form SOURCE:TAP')
        return cls(source, tap)


@dataclass(frozen=True)
class SourceRef:
    """A source by name.

    Attributes:
        name: what the plan calls it; `a`, `b`, ... by default.
        network: `ARCH[@WEIGHTS]`, or the folder of a finished run.
        classes: number of classes it was made for; None: as the weights or the architecture say.
        mean, std: preprocessing per channel for images in [0, 1]; None: the source's own.
        size: side in pixels that its images are resized to; None: the plan's image size.
        plan: for a run, what it is made of, so that it can be built where its folder is gone.
    """

    name: str
    network: str
    classes: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: int | None = None
    plan: Plan | None = None


@dataclass(frozen=True)
class Wire:
    """A join from taps to a tap.

    A wire carries what its tap's own network computed there, before anything else is joined in.

    Attributes:
        inputs: the taps it starts from.
        target: the tap it arrives at.
        join: a row of `convgraft.layers.JOINS`.
        adapter: a row of `convgraft.layers.ADAPTERS`.
        start: `zero` (nothing happens until training opens it), `one`, or `ridge` (least squares).
            A wire that replaces says `one` or `ridge`.
    """

    inputs: tuple[TapRef, ...]
    target: TapRef
    join: str = "add"
    adapter: str = "conv1x1"
    start: str = "zero"

    def adapter_name(self, tap: TapRef) -> str:
        """The adapter's name in the composite; dots become slashes, as a module's name has none."""
        return f"{tap}->{self.target}".replace(".", "/")

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.inputs))} -> {self.target}"


@dataclass(frozen=True)
class Head:
    """What turns taps, or other heads, into a named answer.

    Attributes:
        name: of the answer.
        kind: a row of `convgraft.layers.HEADS`.
        inputs: taps, or other heads as `heads:NAME`.
        classes: number of classes; None: as many as the data has.
        hidden: widths of hidden dense layers.
        dropout: share of features dropped before the classifier while training.
        fusion: how several inputs become one vector, a row of `convgraft.layers.FUSIONS`.
        column: the label column that it answers; empty: the data's main one.
    """

    name: str
    kind: str
    inputs: tuple[TapRef, ...]
    classes: int | None = None
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    fusion: str = "concat"
    column: str = ""


@dataclass(frozen=True)
class Plan:
    """How networks are combined.

    Without heads, every source's own logits are an answer, named after the source.

    Attributes:
        image_size: side in pixels of the images that the composite takes.
    """

    image_size: int
    sources: tuple[SourceRef, ...]
    wires: tuple[Wire, ...] = ()
    heads: tuple[Head, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the answers, in order."""
        return tuple(part.name for part in (self.heads or self.sources))

    @property
    def answers(self) -> tuple[str, ...]:
        """Outputs that tell classes apart: all but the bare taps that a loss looks at."""
        bare = {head.name for head in self.heads if head.kind == "tap"}
        return tuple(name for name in self.outputs if name not in bare)

    @property
    def answer(self) -> str:
        """The main answer: the last one."""
        return (self.answers or self.outputs)[-1]

    @property
    def trained(self) -> tuple[str, ...]:
        """Answers that are trained on labels: not the votes over other answers."""
        votes = {head.name for head in self.heads if head.kind not in LABELLED_HEADS}
        return tuple(name for name in self.outputs if name not in votes)

    def column(self, answer: str) -> str:
        """The label column that an answer is about; empty: the main one."""
        return next((head.column for head in self.heads if head.name == answer), "")

    def keeping(self, answers: Iterable[str]) -> Plan:
        """This plan with those answers alone, and no source that none of them depends on."""
        wanted = set(answers)
        for head in reversed(self.heads):
            if head.name in wanted:
                wanted |= {ref.tap for ref in head.inputs if ref.source == HEADS_OWNER}
        heads = tuple(head for head in self.heads if head.name in wanted)
        used = {ref.source for head in heads for ref in head.inputs} - {HEADS_OWNER}
        used |= wanted if not self.heads else set()
        while True:
            feeding = {r.source for w in self.wires if w.target.source in used for r in w.inputs}
            if feeding <= used:
                break
            used |= feeding
        sources = tuple(ref for ref in self.sources if ref.name in used)
        wires = tuple(wire for wire in self.wires if wire.target.source in used)
        return replace(self, sources=sources, wires=wires, heads=heads)

    @property
    def hash(self) -> str:
        """SHA-256 of the plan's text form, in hex."""
        return hashlib.sha256(str(self).encode()).hexdigest()

    def source(self, name: str) -> SourceRef | None:
        """The source of that name."""
        return next((ref for ref in self.sources if ref.name == name), None)

    def all_sources(self, around: str = "") -> Iterator[tuple[str, SourceRef]]:
        """Every source at any depth by its path: `x`, and `x.a` for source `a` of the run `x`."""
        for ref in self.sources:
            yield f"{around}{ref.name}", ref
            if ref.plan is not None:
                yield from ref.plan.all_sources(f"{around}{ref.name}.")

    def with_classes(self, classes: int, columns: Mapping[str, int] | None = None) -> Plan:
        """This plan, its learned heads that left the number of classes open filled in.

        Args:
            classes: of the data's main label column.
            columns: of its other ones, by name.
        """
        counts = {"": classes, **(columns or {})}
        heads = [
            replace(head, classes=head.classes or counts.get(head.column))
            if head.kind in LEARNED_HEADS
            else head
            for head in self.heads
        ]
        return replace(self, heads=tuple(heads))

    def __str__(self) -> str:
        """The text form; `convgraft.plan.parse_plan` reads it back."""
        return _printed(self)


def _printed(plan: Plan) -> str:
    lines = [f"image {plan.image_size}"]
    lines += [f"source {s.name} = {_quoted(s.network)}{_source_options(s)}" for s in plan.sources]
    lines += [
        f"wire {wire} join={wire.join} adapter={wire.adapter} start={wire.start}"
        for wire in plan.wires
    ]
    lines += [
        f"head {h.name} = {h.kind}({', '.join(map(str, h.inputs))}){_head_options(h)}"
        for h in plan.heads
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text) if re.search(r'[\s"\\]', text) or not text else text


def _options(pairs: Iterable[tuple[str, Any]]) -> str:
    return "".join(f" {key}={value}" for key, value in pairs if value not in (None, ""))


def _list(numbers: Iterable[float] | None) -> str:
    # plain numbers, also where somebody gave NumPy's
    return ",".join(repr(int(n) if isinstance(n, Integral) else float(n)) for n in numbers or ())


def _source_options(ref: SourceRef) -> str:
    values = {"classes": ref.classes, "mean": _list(ref.mean), "std": _list(ref.std)}
    plan = json.dumps(str(ref.plan)) if ref.plan is not None else None
    return _options({**values, "size": ref.size, "plan": plan}.items())


def _head_options(head: Head) -> str:
    dropout = head.dropout or None
    values = {"classes": head.classes, "hidden": _list(head.hidden), "dropout": dropout}
    fusion = None if head.fusion == "concat" else head.fusion
    column = _quoted(head.column) if head.column else None
    return _options({**values, "fusion": fusion, "column": column}.items())
