"""A study in a table and in words."""

from __future__ import annotations

from collections.abc import Sequence

from convgraft.report.study_verdict import (
    HOW_COMPARED,
    comparison_table,
    rival_words,
    study_verdict,
)
from convgraft.report.tables import Columns, markdown_table, without_empty
from convgraft.studies import ArmSummary, Comparison, Interval, Ratio

TABLE_HEADER = (
    *("arm", "training images", "seeds", "test top-1, %", "error / best single"),
    *("error / average vote", "balanced, %", "NLL", "ECE", "million MACs", "weights"),
    *("ms an image", "ms in a batch", "learned", "seconds"),
)
SHORT = (0, 1, 3, 4, 5, 9, 14)
SHORT_HEADER = ("arm", "images", "test top-1", "error / single", "error / vote", "M MACs", "sec")
HOW = (
    "Means over seeds; a seed draws the parts that the data does not give, and everything random. "
    "Top-1 has its 95 % interval by Student's t; where seeds draw from one set they share training "
    "images, which makes it somewhat too narrow. Error ratios are mean error over mean error on "
    "the same seeds, with the 2.5 and 97.5 % quantiles of a bootstrap over seeds: these describe "
    "the seeds at hand and are no evidence, because with few seeds they are far too narrow. What "
    "beats what, only comparisons of predictions tell. The best single network and the average "
    "vote are the best of all kinds, chosen for every seed by validation top-1, never by the test "
    "part, which is read once for each arm, after its own choices. Balanced is the mean over "
    "classes of the share that is right; NLL the mean negative log-likelihood in nats and ECE the "
    "expected calibration error over 15 bins, lower is better. Seconds are of training; ms an "
    "image are the median of a few passes of an image alone, and of 32 at once, on the machine "
    "that ran the study: measurements of it, which differ from call to call."
)


def study_columns(arms: Sequence[ArmSummary]) -> Columns:
    """What stands above the study's table, and its cells; what no arm tells has no column."""
    return without_empty(TABLE_HEADER, study_cells(arms))


def study_cells(arms: Sequence[ArmSummary]) -> list[list[str]]:
    """The cells of the study's table, below `TABLE_HEADER`."""
    return [
        [
            arm.arm,
            f"{arm.training_images:.0f}",
            _seeds(arm),
            percentage(arm.top1),
            _ratio(arm.single),
            _ratio(arm.vote),
            "" if arm.balanced is None else f"{100 * arm.balanced:.2f}",
            _figure(arm.nll),
            _figure(arm.ece),
            f"{arm.macs / 1e6:.1f}",
            f"{arm.parameters:,.0f}",
            _figure(arm.latency),
            _figure(arm.latency_of_many),
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
    return f"{markdown_table(*study_columns(arms))}\n\n{HOW}\n"


def _figure(value: float | None) -> str:
    """A figure with three digits that tell something; empty where it is not known.

    >>> _figure(0.0412), _figure(12.345)
    ('0.041', '12.3')
    """
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _seeds(arm: ArmSummary) -> str:
    """`5`, or `3 of 5` where the study has more."""
    return f"{arm.seeds} of {arm.asked}" if arm.seeds < arm.asked else str(arm.seeds)


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
    said = [f"{images}, {best.arm} has a mean test top-1 of {percentage(best.top1)} %."]
    if len(joins) > 1:
        many = f"{images}, {best.arm} has the highest mean test top-1 of {len(joins)} joins"
        said = [f"{many}: {percentage(best.top1)} %; the best of many is flattered."]
    if best.seeds < best.asked:
        said.append(f"It answered under {_seeds(best)} seeds only.")
    said += [_against(ratio) for ratio in (best.single, best.vote) if ratio]
    said += _beside(best)
    rivals = [arm for arm in arms if arm.kind in ("baseline", "average")]
    rival = max(rivals, key=lambda arm: arm.top1.value, default=None)
    if rival:
        points = 100 * (best.top1.value - rival.top1.value)
        where = f"{abs(points):.2f} points {'above' if points >= 0 else 'below'} {rival.arm}"
        cost = f"at {best.macs / rival.macs:.1f}x its MACs"
        said.append(f"It is {where}, the best baseline by test, {cost}.")
    return " ".join(said)


def _beside(best: ArmSummary) -> list[str]:
    """What else was measured of the best arm, as far as lines tell it."""
    found = []
    if best.balanced is not None and best.nll is not None and best.ece is not None:
        balanced = f"balanced accuracy is {100 * best.balanced:.2f} %"
        found.append(f"Its {balanced}, its NLL {best.nll:.3f}, its ECE {best.ece:.3f}.")
    if best.latency is not None and best.latency_of_many is not None:
        alone, many = _figure(best.latency), _figure(best.latency_of_many)
        found.append(f"An image takes {alone} ms alone and {many} ms in a batch of 32.")
    return found


def _against(ratio: Ratio) -> str:
    """One sentence on an error ratio; what it is worth as evidence is for the verdict to say."""
    seeds = "one seed" if ratio.seeds == 1 else f"{ratio.seeds} seeds"
    rival = rival_words(ratio.against)
    return f"Its error is {ratio.ratio.value:.2f}x that of {rival}, over {seeds}."
