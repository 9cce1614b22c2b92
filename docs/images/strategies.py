"""Draws `strategies/NAME.svg` beside it: the graph of what each strategy writes.

python docs/images/strategies.py            write all pictures
python docs/images/strategies.py --check    write nothing; exit 1 where one would change
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from convgraft.compose import compose
from convgraft.plan import Plan
from convgraft.report.plan_picture import draw_plan, frozen_sources
from convgraft.sources import source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.studies import Arm, Design, build_arm

OUT = Path(__file__).with_suffix("")
LOSS_PICTURES = {"co-learning": "parallel"}  # a loss that brings heads, and the plan it is shown on
COLUMNS = {"multitask": {"family": 4}}
ALONE = ("fixed-filters",)  # one network shows it all


def names() -> Iterator[str]:
    """Every picture's name."""
    yield from STRATEGIES
    yield from LOSS_PICTURES


def arm(name: str) -> Arm:
    """The strategy with its default options, for two small networks and ten classes."""
    networks = {"a": source("cifar_resnet20"), "b": source("cifar_resnet32", seed=1)}
    if name in ALONE:
        del networks["b"]
    given = Ingredients(networks, image_size=32, classes=10, columns=COLUMNS.get(name, {}))
    loss = name if name in LOSS_PICTURES else ""
    return build_arm(Design(LOSS_PICTURES.get(name, name), loss=loss), given)


def shown(built: Arm) -> Plan:
    """The plan without what only the loss looks at, but with a teacher whose answer it needs."""
    plan = built.plan
    if any(head.kind == "tap" for head in plan.heads):
        return plan.keeping(built.loss.keep if built.loss else plan.answers)
    return plan


def draw(name: str, folder: Path) -> Path:
    """Write one picture; what never learns under the strategy's own policy is frozen in it."""
    built = arm(name)
    plan = shown(built)
    sources = {ref.name: built.sources[ref.name] for ref in plan.sources}
    network = compose(plan, sources)
    teachers = built.loss.teachers if built.loss else ()
    frozen = {*frozen_sources(network, built.policy), *teachers}
    return draw_plan(network.resolved, folder / f"{name}.svg", frozen=frozen)


def main() -> int:
    """Write or check every picture; how many are out of date, at most 1."""
    if sys.argv[1:] != ["--check"]:
        for name in names():
            print(draw(name, OUT))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        stale = [name for name in names() if not _same(draw(name, Path(folder)))]
    for name in stale:
        print(f"out of date: {OUT / name}.svg")
    return int(bool(stale))


def _same(fresh: Path) -> bool:
    committed = OUT / fresh.name
    return committed.exists() and committed.read_bytes() == fresh.read_bytes()


if __name__ == "__main__":
    raise SystemExit(main())
