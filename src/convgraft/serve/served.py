"""What is served: something that answers, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convgraft.errors import ArtifactError
from convgraft.export import CARD, METRICS
from convgraft.export.artifact import PLAN
from convgraft.export.contents import read_object
from convgraft.export.hub.places import places_of
from convgraft.plan import read_plan
from convgraft.predict.classifier import Classifier, open_classifier
from convgraft.serve.explainer import Explainer
from convgraft.serve.names import short_name

ONLY_ONNX = (
    "an exported model has no networks, wires and gradients to look at: serve its run folder"
)


@dataclass(frozen=True, eq=False)
class Served:
    """A model that is ready.

    Attributes:
        networks: what it was combined of, by name; none where that is not known.
        card: its card as Markdown; empty where it has none.
        explainer: None where its answers cannot be explained; `why_not` says why.
    """

    name: str
    classifier: Classifier
    networks: tuple[str, ...] = ()
    card: str = ""
    explainer: Explainer | None = None
    why_not: str = ""


def open_served(
    path: Path, *, engine: str = "auto", threads: int | None = None, trust_python: bool = False
) -> Served:
    """A run folder or an .onnx file, ready to be asked.

    Raises ArtifactError or UsageError where it cannot be opened.
    """
    if not path.exists():
        raise ArtifactError(f'there is nothing at "{path}"', expected="a run folder or .onnx file")
    classifier = open_classifier(path, engine=engine, threads=threads, trust_python=trust_python)
    if not path.is_dir():
        return Served(path.name, classifier, why_not=ONLY_ONNX)
    plan, card = read_plan(path / PLAN), path / CARD
    places = places_of(path, plan, read_object(path / METRICS))
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return Served(
        path.resolve().name,
        classifier,
        networks=tuple(f"{ref.name}: {short_name(ref.network)}" for ref in plan.sources),
        card=places.in_text(text),
        explainer=Explainer(path, trust_python=trust_python),
    )
