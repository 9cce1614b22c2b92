"""A study's page, from its configuration and its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.durable.lines import Line
from convgraft.report.page_data import Examined, FusionMap, Page, Pairs, Point, Table
from convgraft.report.page_of_run import told_pairs
from convgraft.report.run_command import Call, made_with, study_command
from convgraft.report.study import HOW, study_words
from convgraft.report.study_charts import study_charts
from convgraft.report.study_tables import (
    Leaks,
    arms_table,
    compared_table,
    failed_table,
    leaks_table,
    policies_table,
    raw_figures,
)
from convgraft.report.study_verdict import HOW_COMPARED, failure_words, study_verdict
from convgraft.studies import ArmSummary, Comparison, failures, finished, summarise


def study_page(
    name: str,
    config: Mapping[str, Any],
    lines: Sequence[Line],
    *,
    comparisons: Sequence[Comparison] = (),
    leaks: Leaks | None = None,
    calls: Sequence[Call] = (),
    fusion: FusionMap | None = None,
    examined: Examined | None = None,
    frozen: Sequence[Table] = (),
    hashes: Pairs = (),
    versions: Pairs = (),
) -> Page:
    """The page of a study.

    Args:
        config: of `study.json`.
        lines: of `results.jsonl`, those of failed arms too.
        comparisons: arms against what they have to beat, where predictions were kept.
        leaks: pictures in several parts, by cell.
        calls: the commands that made it, as they were recorded.
        frozen: what learned in the arm that the fusion map is of.
    """
    done, failed = finished(lines), failures(lines)
    arms = summarise(lines)
    largest = [arm for arm in arms if arm.limit == arms[-1].limit]
    command, words = study_command(config, done, calls)
    return Page(
        title=name,
        about=_about(config, arms),
        verdict=(
            *study_verdict(_largest_first(comparisons)),
            *failure_words(failed),
            *_leaked(leaks or {}),
            *_words(name, arms),
        ),
        highlights=_highlights(largest),
        arms=arms_table(arms),
        how=HOW if arms else "",
        compared=compared_table(comparisons),
        how_compared=HOW_COMPARED if comparisons else "",
        points=tuple(Point(arm.arm, arm.kind, arm.top1, arm.macs) for arm in largest),
        charts=study_charts(arms, done),
        examined=examined,
        fusion=fusion,
        frozen=(*policies_table(done), *frozen),
        failed=failed_table(failed),
        leaks=leaks_table(leaks or {}),
        command=command,
        command_words=words,
        facts=_facts(config, done, hashes, (*_made(config, calls), *versions)),
        lines=tuple(map(raw_figures, done)),
    )


def main_lines(lines: Sequence[Line]) -> list[Line]:
    """The lines of what a study is about: its best join by mean test top-1, at the most images.

    Empty where no join has a result.
    """
    arms = summarise(lines)
    joins = [arm for arm in arms if arm.kind == "join" and arm.limit == arms[-1].limit]
    if not joins:
        return []
    best = max(joins, key=lambda arm: arm.top1.value)
    return [ln for ln in finished(lines) if (ln["arm"], ln["limit"]) == (best.arm, best.limit)]


def _largest_first(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """By numbers of training images, all of them first; rivals in their order."""
    return sorted(comparisons, key=lambda one: (one.limit is not None, -(one.limit or 0)))


def _about(config: Mapping[str, Any], arms: Sequence[ArmSummary]) -> str:
    names = dict.fromkeys(arm.arm for arm in arms)
    seeds = max((arm.seeds for arm in arms), default=0)
    counted = f"{len(names)} arms, {seeds} {'seed' if seeds == 1 else 'seeds'}"
    networks = ", ".join(config.get("models", ()))
    kind = f"Study {config['study']}" if "study" in config else "Study"
    return ", ".join(filter(None, (f"{kind}: {counted}", networks)))


def _words(name: str, arms: Sequence[ArmSummary]) -> tuple[str, ...]:
    """A paragraph for each number of training images, the largest first."""
    if not arms:
        return ("No arm of this study has a result yet.",)
    parts = study_words(name, arms).strip().split("\n\n")
    told = [part for part in parts if not part.startswith("# ") and part != HOW]
    return tuple(told[::-1])


def _leaked(leaks: Leaks) -> tuple[str, ...]:
    pictures = {leak["digest"] for found in leaks.values() for leak in found}
    if not pictures:
        return ()
    told = f"{len(pictures):,} pictures lie" if len(pictures) > 1 else "A picture lies"
    return (f"{told} in more than one part of a split: see Leaks.",)


def _highlights(arms: Sequence[ArmSummary]) -> Pairs:
    joins = [arm for arm in arms if arm.kind == "join"]
    if not joins:
        return ()
    best = max(joins, key=lambda arm: arm.top1.value)
    found = [("best join, test top-1", f"{100 * best.top1.value:.2f} %")]
    for ratio in (best.single, best.vote):
        if ratio:
            found.append((f"error / {ratio.against}", f"{ratio.ratio.value:.2f}"))
    found.append(("million MACs an image", f"{best.macs / 1e6:,.1f}"))
    return (*found, ("seeds", str(best.seeds)))


def _made(config: Mapping[str, Any], calls: Sequence[Call]) -> Pairs:
    """The versions that made it, as they were recorded, or as far as its configuration says."""
    if calls or "convgraft" not in config:
        return made_with(calls)
    return (("convgraft that made it", str(config["convgraft"])),)


def _facts(
    config: Mapping[str, Any], lines: Sequence[Line], hashes: Pairs, versions: Pairs
) -> dict[str, Pairs]:
    networks = ((f"weights of {n}", sha) for n, sha in config.get("weights", {}).items() if sha)
    data = (("data", config["data"]),) if isinstance(config.get("data"), str) else ()
    seeds = sorted({line["seed"] for line in lines})
    protocol = {**config.get("options", {}), "seeds": seeds, "epochs": sorted({
        line["epochs"] for line in lines if "epochs" in line
    })}  # fmt: skip
    told = {
        "How it was trained": told_pairs(protocol),
        "Versions": versions,
        "SHA-256": (*data, *networks, *hashes),
    }
    return {name: pairs for name, pairs in told.items() if pairs}
