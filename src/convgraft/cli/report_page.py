"""Of `convgraft report`: what lies in a folder, read and made into a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convgraft.cli.console import say
from convgraft.cli.explain_gradients import what_learns
from convgraft.cli.fit_outcome import read_predictions
from convgraft.cli.leak_file import read_leaks
from convgraft.cli.recorded_command import recorded_calls
from convgraft.cli.report_pictures import Pictures
from convgraft.cli.report_predictions import examined_run, examined_study
from convgraft.cli.report_steps import hashes, versions
from convgraft.compose import Composite, compose
from convgraft.durable.lines import Line, read_config, read_lines
from convgraft.errors import ArtifactError, ConvgraftError
from convgraft.export import METRICS, SPLIT, WEIGHTS, load
from convgraft.export.artifact import PLAN
from convgraft.export.checksums import check_files
from convgraft.opening import open_sources
from convgraft.plan import parse_plan
from convgraft.report import frozen_sources
from convgraft.report.fusion_map import fusion_map
from convgraft.report.page_data import FusionMap, Page, Table
from convgraft.report.page_of_run import run_page
from convgraft.report.page_of_study import main_lines, study_page
from convgraft.report.run_charts import kind_of
from convgraft.studies import StudyStore, compare_arms, compare_run
from convgraft.studies.store import CONFIG, PREDICTIONS, RESULTS
from convgraft.training import FreezePolicy


def read_page(folder: Path, *, images: Pictures, trust_python: bool = False) -> Page:
    """The page of a run or of a study, by what lies in the folder; nothing there is changed.

    Raises ArtifactError where it holds neither, or what it holds cannot be read.
    """
    for name, read in ((METRICS, _run), (CONFIG, _study)):
        if not (folder / name).is_file():
            continue
        try:
            return read(folder, images, trust_python)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise ArtifactError(
                f'the notes in "{folder}" are not as convgraft writes them',
                expected=f"{name} and the files beside it unchanged",
                found=f"{type(error).__name__}: {error}",
                hint="the folder as the command left it; or the command again, into another one",
            ) from error
    raise ArtifactError(
        f'"{folder}" is no finished run and no study',
        expected=f"a folder with {METRICS} or {CONFIG}",
        found=None if folder.is_dir() else "no such folder",
        hint="convgraft fit ... --out RUN, or convgraft study ... --out STUDY",
    )


def _run(folder: Path, images: Pictures, trust_python: bool) -> Page:
    run = load(folder, trust_python=trust_python)
    metrics, name = run.metrics, folder.resolve().name
    told = metrics.get("freeze")
    policy = FreezePolicy.from_data(told["name"], told["phases"]) if told else None
    frozen = [path.removeprefix("sources.") for path in metrics.get("frozen", ())]
    rows = [row for row in metrics.get("rows", ()) if row.get("test")]
    return run_page(
        name,
        metrics,
        comparisons=compare_run(
            rows,
            [row["arm"] for row in rows if kind_of(row) == "join"],
            lambda arm: read_predictions(folder / PREDICTIONS / f"{arm}.safetensors"),
        ),
        calls=recorded_calls(folder),
        others={path.parent.name: _notes(path) for path in _beside(folder)},
        fusion=fusion_map(run.composite, name, gates=metrics.get("gates"), frozen=frozen),
        examined=examined_run(folder, metrics.get("arm", ""), images.of_run(metrics)),
        frozen=_learned(run.composite, policy),
        hashes=hashes(folder, (WEIGHTS, PLAN, SPLIT)),
        versions=versions(),
    )


def _beside(folder: Path) -> list[Path]:
    return sorted((folder / "baselines").glob(f"*/{METRICS}"))


def _learned(composite: Composite, policy: FreezePolicy | None) -> tuple[Table, ...]:
    """Weights that learned and weights that were frozen, by part."""
    if policy is None:
        return ()
    rows = tuple(
        (
            row["part"],
            f"{row['learn']:,}",
            f"{row['frozen']:,}",
            ", ".join(f"{rate:g}" for rate in row["rates"]),
        )
        for row in what_learns(composite, policy)
    )
    phases = f", its first phase of {len(policy.phases)}" if len(policy.phases) > 1 else ""
    caption = f"Weights by part, under the freeze policy {policy.name}{phases}"
    return (Table(caption, ("part", "learned", "frozen", "share of the rate"), rows),)


def _study(folder: Path, images: Pictures, trust_python: bool) -> Page:
    config, lines = read_config(folder / CONFIG), read_lines(folder / RESULTS)
    own = main_lines(lines)
    arm = own[0]["arm"] if own else ""
    composite, policy = _network(config, arm, trust_python)
    return study_page(
        folder.resolve().name,
        config,
        lines,
        comparisons=compare_arms(lines, StudyStore(folder, lines).predictions),
        leaks=read_leaks(folder),
        calls=recorded_calls(folder),
        fusion=_map(composite, policy, own) if composite else None,
        examined=examined_study(folder, arm, [line["cell"] for line in own], images),
        frozen=_learned(composite, policy) if composite else (),
        hashes=hashes(folder, (RESULTS, CONFIG)),
        versions=versions(),
    )


def _network(
    config: Mapping[str, Any], arm: str, trust_python: bool
) -> tuple[Composite | None, FreezePolicy | None]:
    """An arm's network with fresh weights, and its policy; None where they cannot be had."""
    told = config.get("arms", {}).get(arm)
    if not told:
        return None, None
    try:
        plan = parse_plan(told[0])
        python = [ref.network for ref in plan.sources if ref.network.strip().startswith("python:")]
        if python and not trust_python:
            raise ArtifactError(f"{python[0]} is Python code, which needs --trust-python")
        sources = open_sources(plan, bare=True, trust_python=trust_python)
        return compose(plan, sources), FreezePolicy.from_data("of the arm", told[1])
    except ConvgraftError as error:
        say(f"no fusion map of {arm}: {error.what}")
        return None, None


def _map(composite: Composite, policy: FreezePolicy | None, lines: Sequence[Line]) -> FusionMap:
    gates = [line["gates"] for line in lines if line.get("gates")]
    names = dict.fromkeys(name for one in gates for name in one)
    means = {name: sum(one.get(name, 0.0) for one in gates) / len(gates) for name in names}
    words = "; its gates are means over seeds" if len(gates) > 1 else ""
    frozen = frozen_sources(composite, policy) if policy else ()
    return fusion_map(composite, f"{lines[0]['arm']}{words}", gates=means, frozen=frozen)


def _notes(path: Path) -> dict[str, Any]:
    """What another arm's `metrics.json` says."""
    check_files(path.parent)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f'"{path}" cannot be read', found=str(error)) from error
