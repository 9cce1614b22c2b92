"""The paper's tables with its figures beside ours, as Markdown; pure functions of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.cli.reproduce_results import Results
from convgraft.cli.reproduce_words import row_words, table_words
from convgraft.report.study_verdict import signed
from convgraft.report.tables import markdown_table
from convgraft.studies import Interval
from convgraft.studies.paper import Against, PaperRow, RowOutcome, read_material

TITLE = 'The tables of "Transferred fusion learning using skipped networks"'
ARMS = {
    "probe-a": "probe 1",
    "probe-b": "probe 2",
    "finetune-a": "fine-tune 1",
    "finetune-b": "fine-tune 2",
    "average-probe": "average vote of probes",
    "average-finetune": "average vote of fine-tunes",
}
NOT_RUN = "not run"


def reproduced(found: Results) -> str:
    """All tables that have results, how they were made, and what differs from the paper."""
    parts = [f"# {TITLE}", _how(found), _differs(found)]
    if found.counts:
        parts.append(f"## Table 1: images\n\n{_counts(found.counts)}")
    for number, title in ((2, "joined networks"), (3, "joined networks and transfer learning")):
        if rows := found.table(number):
            words = "\n".join(f"* {row_words(row, ours)}" for row, ours in rows)
            table = _table(rows)
            parts.append(f"## Table {number}: {title}\n\n{table}\n\n{table_words(rows)}\n\n{words}")
    if amounts := _amounts(found):
        parts.append(f"## How much each row had\n\n{amounts}")
    if found.pretrained:
        parts.append(f"## What our own networks learned before\n\n{_pretrained(found.pretrained)}")
    return "\n\n".join(parts) + "\n"


def _how(found: Results) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    commands = "\n".join(f"    {command}" for command in found.commands)
    threads = f"{found.threads} threads" + (" in the last" if len(found.commands) > 1 else "")
    return (
        f"Made by\n\n{commands}\n\non {found.date}, scale {found.scale.name} "
        f"({found.scale.about}), with {versions}, {threads}. Made by the command alone; "
        "[what it does](reproduce.md)."
    )


def _differs(found: Results) -> str:
    told = [*found.scale.differs, *read_material().differs]
    stand_ins = {
        name: None for _, ours in found.rows if ours for name in ours.facts.get("stand_ins", ())
    }
    told += [f"{name}, as ImageNet weights of the latter were not at hand." for name in stand_ins]
    return "What differs from the paper:\n\n" + "\n".join(f"* {one}" for one in told)


def _counts(counts: Sequence[Mapping[str, Any]]) -> str:
    header = ("class", "paper", "ours")
    tables = [
        markdown_table(
            header,
            [(name, one["printed"].get(name, ""), n) for name, n in one["classes"].items()],
        )
        for one in counts
        if one["printed"]
    ]
    rows = [_set_cells(one) for one in counts]
    sets = markdown_table(
        ("image set", "classes", "images of a class", "images", "side", "copies", "leaks"), rows
    )
    words = (
        "Side is the median in pixels. Copies are files with the same bytes as another one; leaks "
        "are pictures that the split with seed 0 has in its test part and in another part too."
    )
    return "\n\n".join([*tables, sets, words])


def _set_cells(one: Mapping[str, Any]) -> list[str]:
    sizes = one["classes"].values()
    each = str(min(sizes)) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    parts = ", ".join(f"{count:,} {part}" for part, count in one["parts"].items())
    images = f"{sum(sizes):,}" + (f" ({parts})" if parts else "")
    counted = (str(one[key]) for key in ("side", "copies", "leaks"))
    return [one["name"], str(len(sizes)), each, images, *counted]


def _table(rows: Sequence[tuple[PaperRow, RowOutcome | None]]) -> str:
    """One table: a row a study, a column an arm."""
    arms = list(dict.fromkeys(name for row, ours in rows for name in _arms(row, ours)))
    transfer = any(row.printed.transfer for row, _ in rows)
    printed = ("paper: transfer 1", "paper: transfer 2", "paper: join") if transfer else ("paper",)
    header = (
        *("row", "networks", "pretrained on", "retrained on"),
        *printed,
        *(ARMS.get(name, name) for name in arms),
        *("best join - better network", "best join - average vote"),
    )
    return markdown_table(header, [_cells(row, ours, arms, transfer) for row, ours in rows])


def _arms(row: PaperRow, ours: RowOutcome | None) -> list[str]:
    joins = [design.name or design.strategy for design in row.study.arms]
    others = [one.arm for one in ours.arms] if ours else []
    known = sorted(set(others) - set(joins), key=lambda name: (name.startswith("average"), name))
    return [*joins, *known]


def _cells(
    row: PaperRow, ours: RowOutcome | None, arms: Sequence[str], transfer: bool
) -> list[str]:
    told = row.printed
    printed = [f"{figure:.2f}" for figure in (*told.transfer, told.accuracy)]
    if transfer:
        printed = [""] * (3 - len(printed)) + printed
    networks = ours.facts["networks"] if ours else told.models
    found = [_figure(row, ours, name) for name in arms]
    points = [_points(ours.single), _points(ours.vote)] if ours else ["", ""]
    before = " / ".join("ImageNet" if name == "-" else name for name in told.pretrained)
    return [row.name, " / ".join(networks), before, told.retrained, *printed, *found, *points]


def _figure(row: PaperRow, ours: RowOutcome | None, arm: str) -> str:
    """One arm's accuracy; empty where a row has no such arm."""
    if arm not in ARMS and arm not in _arms(row, None):
        return ""
    one = ours.figure(arm) if ours else None
    if ours is None or one is None:
        return NOT_RUN if ours is None else "failed"
    text = percentage(one.top1)
    return f"**{text}**" if arm == ours.best else text


def percentage(share: Interval) -> str:
    """`92.6 [91.9, 93.3]`, in percent."""
    text = f"{100 * share.value:.1f}"
    if share.low is None or share.high is None:
        return text
    return f"{text} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _points(against: Against | None) -> str:
    return "" if against is None else signed(against.points).replace(" points", "")


def _amounts(found: Results) -> str:
    """How many images, pixels, epochs and seeds every study had, and for how long it trained."""
    cells: dict[str, list[str]] = {}
    for row, ours in found.rows:
        if ours is None or row.run_as in cells:
            continue
        told = ours.facts
        counts = [_count(told["amount"][part]) for part in ("train", "val", "test")]
        minutes = sum(one.seconds for one in ours.arms if one.kind != "average") / 60
        cells[row.run_as] = [
            row.run_as,
            " / ".join(map(str, told["sizes"])),
            *counts,
            str(told["amount"]["epochs"]),
            ", ".join(map(str, range(max(one.seeds for one in ours.arms)))),
            f"{minutes:.1f}",
        ]
    header = ("row", "pixels", "train", "validation", "test", "epochs", "seeds", "minutes")
    return markdown_table(header, list(cells.values())) if cells else ""


def _pretrained(pretrained: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            one["name"],
            str(one["size"]),
            _count(one["amount"]["train"]),
            str(one["amount"]["epochs"]),
            str(one["seed"]),
            f"{100 * one['test']:.1f}",
            f"{one['seconds'] / 60:.1f}",
        ]
        for one in pretrained
    ]
    header = ("network", "pixels", "train", "epochs", "seed", "test top-1, %", "minutes")
    return markdown_table(header, rows)


def _count(count: int | None) -> str:
    return "all" if count is None else f"{count:,}"
