"""A run's page, from what its `metrics.json` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.report.page_data import Examined, FusionMap, Page, Pairs, Point, Table
from convgraft.report.run_charts import kind_of, run_charts
from convgraft.report.run_command import Call, made_with, run_command
from convgraft.report.tables import without_empty
from convgraft.report.verdict import compared_verdict, verdict
from convgraft.studies import Comparison, Interval

Metrics = Mapping[str, Any]

HEADER = (
    *("arm", "validation top-1, %", "test top-1, %", "balanced, %", "NLL", "ECE"),
    *("million MACs", "weights", "learned", "seconds"),
)
MEASURES = (
    "One seed and one split: the figures say nothing of how they would vary. NLL is the mean "
    "negative log-likelihood in nats, ECE the expected calibration error over 15 bins; lower is "
    "better for both."
)
PROTOCOL = (
    " Each arm's epoch was chosen on the validation part; the test part was read once for each "
    "arm, afterwards."
)


def run_page(
    name: str,
    metrics: Metrics,
    *,
    others: Mapping[str, Metrics] | None = None,
    comparisons: Sequence[Comparison] = (),
    calls: Sequence[Call] = (),
    fusion: FusionMap | None = None,
    examined: Examined | None = None,
    frozen: Sequence[Table] = (),
    hashes: Pairs = (),
    versions: Pairs = (),
) -> Page:
    """The page of a run.

    Args:
        metrics: what the run has noted.
        others: the same of the arms beside it, by name.
        comparisons: the join against what it has to beat, where predictions were kept.
        calls: the commands that made it, as they were recorded.
        frozen: what learned and what did not.
        hashes, versions: of its files, and of what wrote the page.
    """
    rows = [row for row in metrics.get("rows", ()) if row.get("test")]
    main = _main(metrics, rows)
    command, words = run_command(metrics, calls)
    return Page(
        title=name,
        about=_about(metrics),
        verdict=_verdict(metrics, rows, main, comparisons),
        highlights=_highlights(metrics, rows, main),
        arms=_table(rows, main),
        how=MEASURES + (PROTOCOL if metrics.get("test_reads") else "") if rows else "",
        points=tuple(
            Point(row["arm"], kind_of(row), Interval(row["test"]["top1"]), row["macs"])
            for row in rows
        ),
        charts=run_charts({metrics.get("arm", name): metrics, **(others or {})}),
        examined=examined,
        fusion=fusion,
        frozen=tuple(frozen),
        command=command,
        command_words=words,
        facts=_facts(metrics, hashes, (*_made(metrics, calls), *versions)),
        lines=tuple(_flat(row) for row in rows),
    )


def _main(metrics: Metrics, rows: Sequence[Mapping[str, Any]]) -> str:
    """The arm that the run's weights are of; an ensemble's answer is its last row."""
    names = [row["arm"] for row in rows]
    own = metrics.get("arm", "")
    return own if own in names or not names else names[-1]


def _about(metrics: Metrics) -> str:
    data = metrics.get("data", {})
    parts = [f"{metrics['arm']}" if "arm" in metrics else "A run"]
    if "training_images" in data:
        size = data.get("image_size")
        parts.append(f"{data['training_images']:,} training images of {data['location']}")
        parts.append(f"{size} x {size} pixels")
    return ", ".join(parts)


def _verdict(
    metrics: Metrics,
    rows: Sequence[Mapping[str, Any]],
    main: str,
    comparisons: Sequence[Comparison],
) -> tuple[str, ...]:
    if not rows:
        return ("This run was not evaluated on a test part: there is nothing to compare.",)
    joins = [row["arm"] for row in rows if kind_of(row) == "join"]
    told = compared_verdict(comparisons) or verdict(rows, joins=joins)
    own = next(row for row in rows if row["arm"] == main)
    score = f"{100 * own['test']['top1']:.2f} % of {own['test']['images']:,} test images"
    alone = "" if told else " No other arm was trained beside it, so this is no comparison."
    said = [told] if told else []
    said.append(f"{main} is right on {score}.{alone}")
    if metrics.get("finished") is False:
        said.append("The fit was stopped before it was done.")
    return tuple(said)


def _highlights(metrics: Metrics, rows: Sequence[Mapping[str, Any]], main: str) -> Pairs:
    own = next((row for row in rows if row["arm"] == main), None)
    if own is None:
        return ()
    return (
        ("test top-1", f"{100 * own['test']['top1']:.2f} %"),
        ("calibration error", f"{own['test']['ece']:.3f}"),
        ("million MACs an image", f"{own['macs'] / 1e6:,.1f}"),
        ("million weights", f"{own['parameters'] / 1e6:,.2f}"),
        ("seconds of training", f"{metrics.get('seconds', own['seconds']):,.0f}"),
    )


def _table(rows: Sequence[Mapping[str, Any]], main: str) -> Table:
    ordered = sorted(rows, key=lambda row: -row["test"]["top1"])
    header, cells = without_empty(HEADER, [_cells(row) for row in ordered])
    marked = frozenset(n for n, row in enumerate(ordered) if row["arm"] == main)
    caption = "Every arm on the test part, the best first; the run's own arm stands out"
    return Table(caption, header, tuple(map(tuple, cells)), marked)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    test, val = row["test"], row.get("val")
    return (
        row["arm"],
        "" if val is None else f"{100 * val:.2f}",
        f"{100 * test['top1']:.2f}",
        f"{100 * test['balanced']:.2f}",
        f"{test['nll']:.3f}",
        f"{test['ece']:.3f}",
        f"{row['macs'] / 1e6:,.1f}",
        f"{row['parameters']:,}",
        f"{row['trainable']:,}" if "trainable" in row else "",
        f"{row['seconds']:,.0f}",
    )


def _made(metrics: Metrics, calls: Sequence[Call]) -> Pairs:
    """The versions that made it, as they were recorded, or as far as its notes say."""
    if calls or "convgraft" not in metrics:
        return made_with(calls)
    return (("convgraft that made it", str(metrics["convgraft"])),)


def _facts(metrics: Metrics, hashes: Pairs, versions: Pairs) -> dict[str, Pairs]:
    told = {
        "Data": told_pairs(metrics.get("data", {})),
        "How it was trained": told_pairs(metrics.get("fit", {})),
        "Versions": versions,
        "SHA-256": hashes,
    }
    return {name: pairs for name, pairs in told.items() if pairs}


def told_pairs(values: Mapping[str, Any]) -> Pairs:
    """Notes as words; those without a value are left out."""
    return tuple(
        (
            key.replace("_", " "),
            ", ".join(map(str, value)) if isinstance(value, list) else str(value),
        )
        for key, value in values.items()
        if value not in (None, "", [], {})
    )


def _flat(row: Mapping[str, Any]) -> dict[str, object]:
    """A row with its test metrics beside the rest, for CSV."""
    test = {f"test_{name}": value for name, value in row["test"].items()}
    plain = {key: value for key, value in row.items() if not isinstance(value, Mapping)}
    return {**plain, **test}
