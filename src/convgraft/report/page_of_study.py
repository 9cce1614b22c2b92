"""A study's page, from its configuration and its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.report.page_data import (
    Chart,
    Examined,
    FusionMap,
    Page,
    Pairs,
    Point,
    Series,
    Table,
)
from convgraft.report.page_of_run import told_pairs
from convgraft.report.run_command import study_command
from convgraft.report.study import HOW, TABLE_HEADER, study_cells, study_words
from convgraft.report.study_verdict import (
    HEADER,
    HOW_COMPARED,
    failure_words,
    signed,
    study_verdict,
)
from convgraft.studies import ArmSummary, Comparison, failures, finished, summarise
from convgraft.studies.comparison import WIN
from convgraft.studies.lines import Line


def study_page(
    name: str,
    config: Mapping[str, Any],
    lines: Sequence[Line],
    *,
    comparisons: Sequence[Comparison] = (),
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
        frozen: what learned in the arm that the fusion map is of.
    """
    done, failed = finished(lines), failures(lines)
    arms = summarise(done)
    largest = [arm for arm in arms if arm.limit == arms[-1].limit]
    command, words = study_command(config, done)
    return Page(
        title=name,
        about=_about(config, arms),
        verdict=(*study_verdict(comparisons)[::-1], *failure_words(failed), *_words(name, arms)),
        highlights=_highlights(largest),
        arms=_table(arms),
        how=HOW if arms else "",
        compared=_compared(comparisons),
        how_compared=HOW_COMPARED if comparisons else "",
        points=tuple(Point(arm.arm, arm.kind, arm.top1, arm.macs) for arm in largest),
        charts=_over_images(arms),
        examined=examined,
        fusion=fusion,
        frozen=(*_policies(done), *frozen),
        failed=_failed(failed),
        command=command,
        command_words=words,
        facts=_facts(config, done, hashes, versions),
        lines=tuple(_flat(line) for line in done),
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


def _table(arms: Sequence[ArmSummary]) -> Table:
    cells = tuple(map(tuple, study_cells(arms)))
    best: set[int] = set()
    for limit in dict.fromkeys(arm.limit for arm in arms):
        here = [number for number, arm in enumerate(arms) if arm.limit == limit]
        best.add(max(here, key=lambda number: arms[number].top1.value))
    caption = "Every arm, means over seeds; the highest test top-1 stands out"
    return Table(caption, TABLE_HEADER, cells, frozenset(best))


def _compared(comparisons: Sequence[Comparison]) -> Table | None:
    if not comparisons:
        return None
    rows = tuple(
        (
            one.arm,
            one.against,
            "all" if one.limit is None else str(one.limit),
            signed(one.points).replace(" points", ""),
            f"{one.corrected:.2g}",
            f"{one.cost:.1f}x",
            one.outcome,
        )
        for one in comparisons
    )
    wins = frozenset(number for number, one in enumerate(comparisons) if one.outcome == WIN)
    return Table("Arms against what they have to beat; wins stand out", HEADER, rows, wins)


def _over_images(arms: Sequence[ArmSummary]) -> tuple[Chart, ...]:
    if len({arm.limit for arm in arms}) < 2:
        return ()
    series = []
    for name in dict.fromkeys(arm.arm for arm in arms):
        own = sorted((a for a in arms if a.arm == name), key=lambda arm: arm.training_images)
        points = tuple((arm.training_images, 100 * arm.top1.value) for arm in own)
        series.append(Series(name, own[0].kind, points))
    title = "Test top-1 over training images"
    return (Chart(title, "training images", "test top-1, %", tuple(series), log=True),)


def _policies(lines: Sequence[Line]) -> tuple[Table, ...]:
    first: dict[str, Line] = {}
    for line in lines:
        first.setdefault(line["arm"], line)
    rows = tuple(
        (arm, line.get("policy") or "not trained", line.get("loss", ""), f"{line['trainable']:,}")
        for arm, line in first.items()
    )
    if not rows:
        return ()
    caption = "What each arm let learn, and what its training minimised"
    return (Table(caption, ("arm", "freeze policy", "loss", "weights that learned"), rows),)


def _failed(lines: Sequence[Line]) -> Table | None:
    if not lines:
        return None
    rows = tuple((str(line["arm"]), str(line["cell"]), str(line["failed"])) for line in lines)
    return Table("Arms without a result", ("arm", "cell", "why"), rows)


def _facts(
    config: Mapping[str, Any], lines: Sequence[Line], hashes: Pairs, versions: Pairs
) -> dict[str, Pairs]:
    made = (("convgraft that made it", str(config["convgraft"])),) if "convgraft" in config else ()
    networks = ((f"weights of {n}", sha) for n, sha in config.get("weights", {}).items() if sha)
    data = (("data", config["data"]),) if isinstance(config.get("data"), str) else ()
    seeds = sorted({line["seed"] for line in lines})
    protocol = {**config.get("options", {}), "seeds": seeds, "epochs": sorted({
        line["epochs"] for line in lines if "epochs" in line
    })}  # fmt: skip
    told = {
        "How it was trained": told_pairs(protocol),
        "Versions": (*made, *versions),
        "SHA-256": (*data, *networks, *hashes),
    }
    return {name: pairs for name, pairs in told.items() if pairs}


def _flat(line: Line) -> dict[str, object]:
    test = {f"test_{name}": value for name, value in line["test"].items()}
    plain = {key: value for key, value in line.items() if not isinstance(value, (Mapping, list))}
    return {**plain, **test}
