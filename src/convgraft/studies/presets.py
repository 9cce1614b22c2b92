"""The study table: one row a question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convgraft.errors import UsageError, near_miss
from convgraft.layers import FUSIONS
from convgraft.match import pair_by_shape, stage_ends
from convgraft.strategies import Ingredients, StrategyOptions
from convgraft.studies.design import Design
from convgraft.studies.study import OWN, Study, StudyArm

BANKS = (
    *("identity", "gaussian", "box", "sharpen", "unsharp", "sobel", "scharr", "laplacian"),
    *("gabor", "random"),
)
LEARNED_BANKS = ("gaussian", "random")


def _design(
    strategy: str, name: str = "", *, loss: str = "", freeze: str = "", **options: Any
) -> Design:
    return Design(strategy, StrategyOptions(**options), freeze=freeze, loss=loss, name=name)


def strategies(given: Ingredients) -> list[StudyArm]:
    """Every strategy with its defaults, and its variants that make a difference."""
    designs = [
        _design("cross-skip"),
        _design("cross-skip", "cross-skip-one", start="one"),
        _design("cross-skip", "cross-skip-co-learning", loss="co-learning"),
    ]
    if len(given.sources) == 2:
        designs.append(_design("stitch", loss="two-stage", freeze="discriminative"))
    designs += [_design("parallel", f"parallel-{kind}", fusion=kind) for kind in FUSIONS]
    designs.append(_design("parallel", "parallel-co-learning", loss="co-learning"))
    designs += [_design("cascade", f"cascade-{join}", join=join) for join in ("add", "replace")]
    if given.columns:
        designs.append(_design("multitask"))
    designs.append(_design("ensemble"))
    designs += [
        _design("ladder", f"ladder-{head}", head=head)
        for head in ("linear", "ridge", "mlp", "side")
    ]
    designs.append(_design("fixed-filters"))
    if _has_teachers(given):
        designs.append(_design("distil"))
    return [StudyArm(design) for design in designs]


def _has_teachers(given: Ingredients) -> bool:
    """Whether all networks but the first are runs that answer the task already."""
    _, *teachers = given.sources.values()
    return all(one.nested is not None and one.classes == given.classes for one in teachers)


def fixed_filters(given: Ingredients) -> list[StudyArm]:
    """Kernels that stay as they are, each bank in front of one network, and the same learning."""
    (name,) = given.sources
    banks = [_design("fixed-filters", kind, filters=kind) for kind in BANKS]
    learned = [
        Design(
            "fixed-filters",
            StrategyOptions(filters=kind),
            learn_filters=True,
            name=f"{kind}-learned",
        )
        for kind in LEARNED_BANKS
    ]
    return [
        *map(StudyArm, (*banks, *learned)),
        StudyArm(_design("probe", "random-weights"), untrained=(name,)),
        StudyArm(
            _design("finetune", "from-scratch", freeze="all"), untrained=(name,), control=True
        ),
    ]


def directions(given: Ingredients) -> list[StudyArm]:
    """Wires both ways, forward alone and backward alone, each gated and raw."""
    return [
        StudyArm(_design("cross-skip", f"{way}-{start}", direction=way, start=start))
        for way in ("both", "forward", "backward")
        for start in ("zero", "one")
    ]


def matching(given: Ingredients) -> list[StudyArm]:
    """Wires between blocks paired by shape or by likeness, from nothing or from least squares."""
    return [
        StudyArm(_design("cross-skip", "shape-zero")),
        StudyArm(_design("cross-skip", "shape-ridge", adapter="ridge")),
        StudyArm(_design("cross-skip", "likeness-ridge", pairs="likeness")),
    ]


def ladder(given: Ingredients) -> list[StudyArm]:
    """A linear head over all taps of frozen networks, trained and in closed form."""
    return [
        StudyArm(_design("ladder")),
        StudyArm(_design("ladder", "ladder-ridge", head="ridge")),
    ]


def co_learning(given: Ingredients) -> list[StudyArm]:
    """Networks side by side that teach each other."""
    return [StudyArm(_design("parallel", "co-learning", loss="co-learning"))]


def stitches(given: Ingredients) -> list[StudyArm]:
    """At every stage end that two networks share, both directions, each with its control."""
    _check_stitches(given)
    one, other = given.sources
    ends = [stage_ends(given.surveys[name].taps) for name in (one, other)]
    pairs = [(left.name, right.name) for left, right in pair_by_shape(*ends)]
    if not pairs:
        raise UsageError("the networks have no maps of near shapes", expected="stages alike")
    return [
        arm
        for left, right in pairs
        for names, at in (((one, other), (left, right)), ((other, one), (right, left)))
        for arm in _stitch(names, at)
    ]


def _stitch(names: tuple[str, str], at: tuple[str, str]) -> tuple[StudyArm, ...]:
    """A stitch solved in closed form, by single positions and by 3x3 patches; one that trains its
    adapter alone; and the same from a front that was never trained.
    """
    named = "-".join((*names, *dict.fromkeys(at))).replace("/", "_")
    options: dict[str, Any] = {"at": ":".join(at), "classifier": "own"}
    chosen: dict[str, Any] = {"loss": "final", "freeze": "adapters-only", **options}
    solved = [
        Design("stitch", StrategyOptions(adapter=adapter, **options), name=name, solved=True)
        for adapter, name in (("ridge", f"{named}-solved"), ("ridge3x3", f"{named}-solved-3x3"))
    ]
    return (
        *(StudyArm(design, names) for design in solved),
        StudyArm(_design("stitch", named, **chosen), names),
        StudyArm(_design("stitch", f"{named}-random", **chosen), names, names[:1], control=True),
    )


def _check_stitches(given: Ingredients) -> None:
    given.needs(
        len(given.sources) == 2,
        "a stitch is between two networks",
        "a front and a back",
        str(len(given.sources)),
    )
    for name, one in given.sources.items():
        given.needs(
            one.classes == given.classes,
            f'stitches answer by the networks\' own classifiers, and "{name}" has other classes',
            f"{given.classes}, as the data has",
            str(one.classes),
        )


STUDIES: Mapping[str, Study] = {
    study.name: study
    for study in (
        Study(
            "strategies",
            "every way of combining, once, with its defaults",
            strategies,
            ("probe", "finetune"),
        ),
        Study(
            "fixed-filters",
            "will it learn if the kernels stay constant? (the first network)",
            fixed_filters,
            ("probe", "finetune"),
            least=1,
            first=True,
        ),
        Study(
            "directions",
            "cross-skip wires both ways, forward or backward, gated or raw",
            directions,
            ("finetune",),
        ),
        Study(
            "matching",
            "cross-skip wires between taps paired by shape, or by likeness and warm",
            matching,
            ("finetune",),
        ),
        Study(
            "ladder",
            "a head over all taps of frozen networks, against heads on their features",
            ladder,
            ("probe",),
        ),
        Study(
            "co-learning",
            "networks that teach each other, against each fine-tuned alone",
            co_learning,
            ("finetune",),
        ),
        Study(
            "stitches",
            "one network's front on the other's back, at every stage, beside a random front",
            stitches,
            (OWN,),
        ),
    )
}


def find_study(name: str) -> Study:
    """The study of that name; raises UsageError with near misses where there is none."""
    if name not in STUDIES:
        raise UsageError(
            f'there is no study called "{name}"',
            expected=", ".join(STUDIES),
            hint=near_miss(name, STUDIES),
        )
    return STUDIES[name]
