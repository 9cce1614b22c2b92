"""The artifact: a run's folder, from which one line loads the network again.

    model.safetensors   every weight of the composite; plan hash and sources in its metadata
    plan.yaml           what it is made of
    labels.json         class names, in label order
    metrics.json        what was measured, and how the run was made
    split.csv           which image was in which part
    card.md             the same for people
    SHA256SUMS          checksums of the others, so that a damaged one is no other network

No pickle anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convgraft.compose import Composite, compose
from convgraft.durable.on_disk import make_folder, sync_folder
from convgraft.durable.tensors import write_tensors
from convgraft.errors import ArtifactError, PlanError
from convgraft.export.checksums import CHECKSUMS, check_files, write_checksums
from convgraft.export.contents import (
    Labels,
    check_labels,
    read_labels,
    read_notes,
    read_object,
)
from convgraft.export.files import write_json, write_text, write_whole
from convgraft.export.foreign import check_asked, check_size
from convgraft.export.stored_weights import Weights
from convgraft.opening import open_sources
from convgraft.opening.runs import RUN_FILES
from convgraft.plan import Plan, plan_to_yaml, read_plan
from convgraft.sources import Source, source

WEIGHTS, PLAN, LABELS, METRICS = RUN_FILES
CARD, SPLIT = "card.md", "split.csv"
CHECKED = (*RUN_FILES, SPLIT)


@dataclass(frozen=True, eq=False)
class Run:
    """A loaded artifact.

    Attributes:
        folder: where it lies.
        composite: the network, in evaluation mode.
        labels: class names of the main label column, in label order.
        metrics: what `metrics.json` says.
        columns: class names of the other label columns that it answers, by column.
    """

    folder: Path
    composite: Composite
    labels: tuple[str, ...]
    metrics: Mapping[str, Any]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        """What it is made of."""
        return self.composite.plan

    @property
    def image_size(self) -> int:
        """Side in pixels of the images that it takes."""
        return self.plan.image_size

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Images [N, 3, S, S], uint8 or float in [0, 1], to probabilities [N, classes]."""
        return self.composite(images)[self.plan.answer].float().softmax(1)


def save(
    folder: str | Path,
    composite: Composite,
    *,
    labels: Sequence[str],
    metrics: Mapping[str, Any] | None = None,
    card: str = "",
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write an artifact; `metrics.json` comes last, so a folder that has it is whole.

    Args:
        labels: class names of the main label column.
        columns: of every label column; those that no answer is about, and the main one under the
            empty name, are left out.

    Raises ArtifactError where an answer tells another number of classes apart; nothing is written
    then.
    """
    folder = Path(folder)
    others = _other_labels(composite, columns)
    check_labels(Labels(tuple(labels), others.get("columns", {})), composite, folder / LABELS)
    make_folder(folder)
    for name in (METRICS, CHECKSUMS):
        (folder / name).unlink(missing_ok=True)
    sync_folder(folder)
    _save_weights(folder / WEIGHTS, composite)
    write_text(folder / PLAN, plan_to_yaml(composite.complete_plan))
    write_json(folder / LABELS, {"classes": list(labels), **others})
    write_text(folder / CARD, card or f"# {folder.name}\n")
    write_json(folder / METRICS, dict(metrics or {}))
    write_checksums(folder, CHECKED)
    return folder


def change_notes(folder: Path, metrics: Mapping[str, Any], card: str) -> None:
    """Write other metrics and another card into an artifact whose network stays as it is."""
    (folder / CHECKSUMS).unlink(missing_ok=True)
    write_text(folder / CARD, card)
    write_json(folder / METRICS, dict(metrics))
    write_checksums(folder, CHECKED)


def _other_labels(
    composite: Composite, columns: Mapping[str, Sequence[str]] | None
) -> dict[str, Any]:
    plan = composite.plan
    answered = {plan.column(name) for name in plan.answers} - {""}
    kept = {name: list(classes) for name, classes in (columns or {}).items() if name in answered}
    return {"columns": kept} if kept else {}


def _save_weights(path: Path, composite: Composite) -> None:
    # clones, because safetensors refuses tensors that share memory
    state = {
        name: t.detach().cpu().clone().contiguous() for name, t in composite.state_dict().items()
    }
    metadata = {
        "format": "pt",
        "convgraft_plan": composite.complete_plan.hash,
        "sources": json.dumps(
            {ref.name: _source_note(composite, ref.name) for ref in composite.plan.sources}
        ),
        "held": json.dumps(sorted(p for p in composite.held if p.count(".") == 1)),
    }
    write_whole(path, lambda part: write_tensors(part, state, metadata))


def _source_note(composite: Composite, name: str) -> dict[str, Any]:
    """What is needed to use this source's weights elsewhere."""
    opened = composite.resolved.checked.sources[name]
    own = opened.preprocessing
    return {
        "network": opened.spec,
        "classes": opened.classes,
        "mean": own.mean,
        "std": own.std,
        "size": own.size,
    }


def load(
    folder: str | Path,
    *,
    modules: Mapping[str, nn.Module] | None = None,
    trust_python: bool = False,
) -> Run:
    """Load an artifact; no other file is needed, nothing is downloaded and nothing unpickled.

    Args:
        folder: of the run.
        modules: by source name, for sources that were made from an `nn.Module` in Python.
        trust_python: allow the artifact to import `python:` sources, that is, to run their code.

    Raises ArtifactError where the folder is not a whole artifact.

    >>> run = load("runs/x")                      # doctest: +SKIP
    >>> run.probabilities(images).argmax(1)       # doctest: +SKIP
    """
    folder = Path(folder)
    plan = _read_plan(folder)
    given = dict(modules or {})
    check_asked(plan, folder, given=given, trust_python=trust_python)
    labels, metrics = read_labels(folder / LABELS), read_object(folder / METRICS)
    weights = Weights(folder / WEIGHTS)
    metadata = weights.metadata
    if metadata.get("convgraft_plan") != plan.hash:
        raise ArtifactError(
            f'"{folder}": {PLAN} and {WEIGHTS} do not belong together',
            expected=f"plan hash {metadata.get('convgraft_plan')}",
            found=plan.hash,
        )
    held = read_notes(metadata, folder / WEIGHTS)
    composite = _compose(plan, _open(plan, given, folder, trust_python), folder)
    check_labels(labels, composite, folder / LABELS)
    state = weights.checked(composite)
    check_files(folder)
    composite.load_state_dict(state)
    composite = composite.holding(held).eval() if held else composite.eval()
    return Run(folder, composite, labels.classes, metrics, labels.columns)


def _read_plan(folder: Path) -> Plan:
    if not folder.is_dir():
        raise ArtifactError(f'there is no run at "{folder}"', expected=f"a folder with {WEIGHTS}")
    missing = [name for name in (WEIGHTS, PLAN, LABELS, METRICS) if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(
            f'"{folder}" is not a finished run',
            expected=", ".join((WEIGHTS, PLAN, LABELS, METRICS)),
            found=f"no {', no '.join(missing)}",
            hint="run the fit again: it goes on where it stopped",
        )
    for name in (PLAN, LABELS, METRICS, CHECKSUMS):
        check_size(folder / name)
    return read_plan(folder / PLAN)


def _open(
    plan: Plan, modules: Mapping[str, nn.Module], folder: Path, trust_python: bool
) -> dict[str, Source]:
    """The sources' architectures, without the weights that the plan names."""
    given = {
        ref.name: source(modules[ref.name], mean=ref.mean, std=ref.std, size=ref.size)
        for ref in plan.sources
        if ref.name in modules
    }
    named = Plan(plan.image_size, tuple(ref for ref in plan.sources if ref.name not in given))
    try:
        return {**given, **open_sources(named, bare=True, trust_python=trust_python)}
    except PlanError as error:
        raise ArtifactError(f'"{folder}" cannot be rebuilt: {error}') from error


def _compose(plan: Plan, opened: Mapping[str, Source], folder: Path) -> Composite:
    """The network of a plan whose sources are open, or an ArtifactError that names the folder."""
    try:
        return compose(plan, opened)
    except PlanError as error:
        raise ArtifactError(f'"{folder}" cannot be rebuilt: {error}') from error
