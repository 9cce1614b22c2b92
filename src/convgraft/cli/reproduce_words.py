"""What came of a row of the paper's tables, in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from convgraft.report.study_verdict import points, signed
from convgraft.studies.paper import Against, PaperRow, RowOutcome

HOW = (
    "Test top-1 in percent, 1 and 2 being the first and the second network. Intervals of 95 % are "
    "{intervals}. The join in bold has the highest validation top-1, and the differences are its "
    "own: to the probe or fine-tune and to the average vote that validation chooses too. Their "
    "intervals are by paired bootstrap, in points. The test part has chosen nothing."
)
OVER_SEEDS = "Student's t over seeds"
OVER_IMAGES = "Wilson's over test images where there is one seed, which tell nothing of its luck"
RIVALS = {
    "probe": "the probe of network {}",
    "finetune": "the fine-tune of network {}",
}


def table_words(rows: Sequence[tuple[PaperRow, RowOutcome | None]]) -> str:
    """How a table's figures are made, and on how many rows we are at or above the paper."""
    found = [(row, ours) for row, ours in rows if ours]
    seeds = {one.seeds for _, ours in found for one in ours.arms}
    kinds = [OVER_SEEDS] * (max(seeds) > 1) + [OVER_IMAGES] * (min(seeds) == 1)
    reached = sum(_is_reached(row, ours) for row, ours in found)
    counted = f"The best join is at or above the paper's figure on {reached} of {len(found)} rows."
    return f"{HOW.format(intervals=', or '.join(kinds))} {counted}"


def row_words(row: PaperRow, ours: RowOutcome | None) -> str:
    """What wins in a row, by how much, and where the average vote is the better choice."""
    told = row.printed
    if ours is None:
        return f"{row.name}: not run yet."
    best = ours.figure(ours.best)
    if best is None:
        return f"{row.name}: no join has a result. {_failures(ours)}".strip()
    same = f" (the same study as {row.run_as})" if row.run_as != row.name else ""
    where = "at or above" if _is_reached(row, ours) else "below"
    first = (
        f"{row.name}{same}: {ours.best} is the best join, {100 * best.top1.value:.1f} %, {where} "
        f"the paper's {told.accuracy:.2f}."
    )
    said = [_compared(against) for against in (ours.single, ours.vote) if against]
    sentences = [first, *([f"It is {', and '.join(said)}."] if said else []), _advice(ours)]
    return " ".join(filter(None, [*sentences, _failures(ours)]))


def _is_reached(row: PaperRow, ours: RowOutcome) -> bool:
    best = ours.figure(ours.best)
    return best is not None and round(100 * best.top1.value, 2) >= row.printed.accuracy


def _compared(against: Against) -> str:
    name = rival_words(against.rival)
    if against.outcome == "tie":
        return f"a tie with {name} ({signed(against.points)})"
    return f"{points(against.points)} {against.outcome} {name}"


def rival_words(arm: str) -> str:
    """`finetune-a` as `the fine-tune of network 1`.

    >>> rival_words("average-probe")
    'the average vote of probes'
    """
    kind, _, rest = arm.partition("-")
    if kind == "average":
        return f"the average vote of {'probes' if rest == 'probe' else 'fine-tunes'}"
    return RIVALS.get(kind, arm).format({"a": 1, "b": 2}.get(rest, rest))


def _advice(ours: RowOutcome) -> str:
    """What to choose here."""
    if ours.single is None or ours.vote is None:
        return ""
    single, vote = ours.single.outcome, ours.vote.outcome
    if vote == "below":
        return "The average vote is the better choice here."
    if single == "below":
        return "One network alone is the better choice here."
    if vote == "above" and single == "above":
        return "Joining is the better choice here."
    if vote == "tie" and single == "above":
        return "Nothing tells join and average vote apart here; the vote is the simpler choice."
    if vote == "above":
        return "Joining is better than voting here, and no better than one network."
    return "Nothing here is shown to be better than one network."


def _failures(ours: RowOutcome) -> str:
    return f"Failed: {'; '.join(ours.failed)}." if ours.failed else ""
