"""A run as a folder that is ready for the Hugging Face Hub, and still loads as it is.

    README.md           the model card, with metadata
    model.safetensors   the weights
    plan.yaml           what it is made of
    labels.json         class names, in label order
    metrics.json        what was measured
    config.json         labels, image size and version, for other tools
    model.onnx          where it was exported; model-int8.onnx too
    split.csv           only where asked for: it names files
    .gitattributes      what goes to large file storage

Nothing in it tells of the machine it was made on: places become their last names, see `hub_places`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from convgraft.errors import ArtifactError
from convgraft.export.artifact import Run, load
from convgraft.export.contents import read_object
from convgraft.export.files import write_json, write_text
from convgraft.export.hub.card import GIT_ATTRIBUTES, CardOptions, hub_card, hub_config
from convgraft.export.hub.check import (
    ATTRIBUTES,
    CONFIG,
    HUB_FILES,
    LABELS,
    METRICS,
    ONNX,
    PLAN,
    README,
    SPLIT,
    WEIGHTS,
    check_artifact,
)
from convgraft.export.hub.extra import hub_library
from convgraft.export.hub.notes import differing, portable_metrics
from convgraft.export.hub.places import Places, places_of, portable_plan
from convgraft.export.hub.weights import copy_onnx, copy_weights
from convgraft.plan import Plan, SourceRef, plan_to_yaml


@dataclass(frozen=True)
class HubFolder:
    """A written folder.

    Attributes:
        path: where it lies.
        files: size in bytes by name.
        changed: what stands there in other words than in the run, for people.
        left_out: what the run has and the folder has not, and why, for people.
    """

    path: Path
    files: Mapping[str, int]
    changed: tuple[str, ...]
    left_out: tuple[str, ...]


def hub_folder(
    run: str | Path,
    out: str | Path,
    *,
    card: CardOptions | None = None,
    with_split: bool = False,
    trust_python: bool = False,
) -> HubFolder:
    """Write a run as a folder for `upload_folder`; the folder appears whole or not at all.

    Args:
        run: folder of a finished run.
        out: a new folder.
        with_split: also `split.csv` and the names of broken images.
        trust_python: allow the run to import `python:` sources: what is written is loaded once.

    Raises ArtifactError where the run is not whole, needs files that it does not hold, or `out` is
    in use; UsageError where the extra `hub` is missing.

    >>> hub_folder("runs/x", "hub/x", card=CardOptions(license="mit"))   # doctest: +SKIP
    """
    run, out, card = Path(run), Path(out), card or CardOptions()
    hub_library()
    card.check()
    check_new(out)
    plan = check_artifact(run)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as above:
        folder = Path(above) / out.name
        folder.mkdir()
        places, changed = _write_run(run, folder, plan, with_split)
        loaded = load(folder, trust_python=trust_python)
        left_out = _write_card(run, folder, loaded, card, places)
        _check_silent(folder, places)
        if out.is_dir():
            out.rmdir()
        folder.replace(out)
    files = {name: (out / name).stat().st_size for name in HUB_FILES if (out / name).is_file()}
    return HubFolder(out, files, tuple(changed), (*left_out, *_others(run, files)))


def check_new(out: Path) -> None:
    """Raise ArtifactError where something lies at a place that should be new."""
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise ArtifactError(
            f'"{out}" is there already', expected="a new folder", hint="another --out"
        )


def _write_run(run: Path, folder: Path, plan: Plan, with_split: bool) -> tuple[Places, list[str]]:
    """Write the artifact itself; gives the places that were known, and what was changed."""
    portable = portable_plan(plan)
    metrics = read_object(run / METRICS)
    places = places_of(run, plan, metrics)
    kept = portable_metrics(metrics, places, with_split=with_split)
    copy_weights(run, folder, portable)
    write_text(folder / PLAN, plan_to_yaml(portable))
    write_json(folder / LABELS, read_object(run / LABELS))
    write_json(folder / METRICS, kept)
    write_text(folder / ATTRIBUTES, GIT_ATTRIBUTES)
    if with_split and (run / SPLIT).is_file():
        shutil.copyfile(run / SPLIT, folder / SPLIT)
    changed = [f"{old.network} -> {new.network}" for old, new in _renamed(plan, portable)]
    return places, [*changed, *differing("metrics", metrics, kept)]


def _renamed(plan: Plan, portable: Plan) -> list[tuple[SourceRef, SourceRef]]:
    pairs = zip(plan.all_sources(), portable.all_sources(), strict=True)
    return [(old, new) for (_, old), (_, new) in pairs if old.network != new.network]


def _write_card(
    run: Path, folder: Path, loaded: Run, options: CardOptions, places: Places
) -> list[str]:
    """Write card, configuration and exported models; gives those that were left out, and why."""
    write_json(folder / CONFIG, hub_config(loaded))
    card = hub_card(loaded, options)
    reasons = [copy_onnx(run / file, folder / file, loaded.plan, card, places) for file in ONNX]
    tags = ["onnx"] if any((folder / file).is_file() for file in ONNX) else []
    write_text(folder / README, hub_card(loaded, options, tags=tags))
    return [reason for reason in reasons if reason]


def _check_silent(folder: Path, places: Places) -> None:
    """Refuse to write a file that tells of this machine all the same."""
    # the card is written from the others, so that those are named first
    for file in sorted(folder.iterdir(), key=lambda one: one.name == README):
        told = places.told_by(file) if file.name != WEIGHTS else None
        if told:
            raise ArtifactError(
                f"{file.name} would tell of this machine", found=told, hint="mend it in the run"
            )


def _others(run: Path, files: Mapping[str, int]) -> list[str]:
    """What a run holds and nobody loads it with."""
    return sorted(
        f"{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in run.iterdir()
        if entry.name not in files and entry.name not in ONNX and not entry.name.startswith(".")
    )
