"""A study in a table and in words."""

from __future__ import annotations

from collections.abc import Sequence

from convgraft.report.study_verdict import HOW_COMPARED, comparison_table, study_verdict
from convgraft.report.tables import markdown_table
from convgraft.studies import ArmSummary, Comparison, Interval, Ratio

TABLE_HEADER = (
    *("arm", "training images", "seeds", "test top-1, %", "error / best single"),
    *("error / average vote", "million MACs", "weights", "learned", "seconds"),
)
SHORT = (0, 1, 3, 4, 5, 6, 9)
SHORT_HEADER = ("arm", "images", "test top-1", "error / single", "error / vote", "M MACs", "sec")
HOW = (
    "Means over seeds; a seed draws the parts that the data does not give, and everything random. "
    "Top-1 has its 95 % interval by Student's t. Error ratios are mean error over mean error on "
    "the same seeds, with 95 % intervals by bootstrap over seeds, which few seeds make too narrow. "
    "The best single network is chosen for every seed by validation top-1, never by the test part, "
    "which is read once for each arm, after its own choices."
)


def study_cells(arms: Sequence[ArmSummary]) -> list[list[str]]:
    """The cells of the study's table, below `TABLE_HEADER`."""
    return [
        [
            arm.arm,
            f"{arm.training_images:.0f}",
            str(arm.seeds),
            percentage(arm.top1),
            _ratio(arm.single),
            _ratio(arm.vote),
            f"{arm.macs / 1e6:.1f}",
            f"{arm.parameters:,.0f}",
            f"{arm.trainable:,.0f}",
            f"{arm.seconds:.0f}",
        ]
        for arm in arms
    ]


def short_cells(arms: Sequence[ArmSummary]) -> list[list[str]]:
    """The columns that fit a terminal, below `SHORT_HEADER`."""
    return [[row[place] for place in SHORT] for row in study_cells(arms)]


def study_table(arms: Sequence[ArmSummary]) -> str:
    """The study as a Markdown table, and how its figures are made."""
    return f"{markdown_table(TABLE_HEADER, study_cells(arms))}\n\n{HOW}\n"


def percentage(share: Interval) -> str:
    """`92.60 [91.9, 93.3]`, or without an interval where one seed tells it."""
    text = f"{100 * share.value:.2f}"
    if share.low is None or share.high is None:
        return text
    return f"{text} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    found = ratio.ratio
    if found.low is None or found.high is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def study_words(
    title: str,
    arms: Sequence[ArmSummary],
    comparisons: Sequence[Comparison] = (),
    notes: Sequence[str] = (),
) -> str:
    """What did best at each number of training images, and by how much, as Markdown.

    Args:
        comparisons: arms against what they have to beat, from the predictions that were kept; the
            verdict comes from them, and stands first.
        notes: what else a reader has to know, e.g. which arms failed.
    """
    limits = dict.fromkeys(arm.limit for arm in arms)
    parts = [_words([arm for arm in arms if arm.limit == limit]) for limit in limits]
    compared = [comparison_table(comparisons), HOW_COMPARED] if comparisons else []
    verdict = study_verdict(comparisons)
    return "\n\n".join([f"# {title}", *verdict, *notes, *parts, *compared, HOW]) + "\n"


def _words(arms: Sequence[ArmSummary]) -> str:
    images = f"With {arms[0].training_images:.0f} training images"
    joins = [arm for arm in arms if arm.kind == "join"]
    if not joins:
        return f"{images}: no arm of the study's own was run."
    best = max(joins, key=lambda arm: arm.top1.value)
    said = [f"{images}, {best.arm} has the highest mean test top-1: {percentage(best.top1)} %."]
    if len(joins) > 1:
        said[0] = f"{said[0][:-1]}, of {len(joins)} arms; the best of many is flattered."
    said += [_against(ratio) for ratio in (best.single, best.vote) if ratio]
    rivals = [arm for arm in arms if arm.kind in ("baseline", "average")]
    rival = max(rivals, key=lambda arm: arm.top1.value, default=None)
    if rival:
        points = 100 * (best.top1.value - rival.top1.value)
        where = f"{abs(points):.2f} points {'above' if points >= 0 else 'below'} {rival.arm}"
        cost = f"at {best.macs / rival.macs:.1f}x its MACs"
        said.append(f"It is {where}, the best baseline by test, {cost}.")
    return " ".join(said)


def _against(ratio: Ratio) -> str:
    """One sentence on an error ratio and what its interval lets one say."""
    found = ratio.ratio
    text = f"Its error is {found.value:.2f}x that of {ratio.against}"
    if found.low is None or found.high is None:
        return f"{text} (one seed: no interval)."
    bounds = f"[{found.low:.2f}, {found.high:.2f}]"
    if found.low <= 1 <= found.high:
        return f"{text} {bounds}: {ratio.seeds} seeds do not tell them apart."
    return f"{text} {bounds}, over {ratio.seeds} seeds."
