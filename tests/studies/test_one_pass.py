"""Whatever is trained on the same frozen networks, each image goes through each of them once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from convgraft.cache import Cache
from convgraft.data import open_images, split_images
from convgraft.strategies import Ingredients, StrategyOptions
from convgraft.studies import (
    Cell,
    Design,
    Study,
    StudyArm,
    StudyStore,
    run_study,
)
from convgraft.training import FitOptions, Task
from helpers import small

IMAGES = open_images("digits")
SOURCES = {"a": small(0), "b": small(1)}
SEEDS = range(5)


def arms(given: Ingredients) -> list[StudyArm]:
    side = StrategyOptions(head="side")
    designs = (Design("ladder", side), Design("parallel", freeze="heads-only"))
    return [StudyArm(design) for design in designs]


def test_five_seeds_make_one_pass_per_source(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 2**26)
    chosen = split_images(IMAGES, seed=0, limit=60)
    pool = (*chosen.train, *chosen.val[:30], *chosen.test[:30])
    tasks: list[Task] = []

    def open_cell(cell: Cell) -> tuple[Task, Ingredients]:
        turn = 20 * cell.seed  # other parts of the same images with every seed
        order = pool[turn:] + pool[:turn]
        split = replace(chosen, train=order[:60], val=order[60:90], test=order[90:])
        tasks.append(Task(IMAGES, split, 8, cache=cache))
        return tasks[-1], Ingredients(SOURCES, 8, 10)

    study = Study("once", "how often?", arms, ("probe",))
    lines = run_study(
        study,
        [Cell(60, seed) for seed in SEEDS],
        open_cell,
        lambda cell: FitOptions(epochs=1, batch_size=20, seed=cell.seed, accelerator="cpu"),
        StudyStore.claim(tmp_path / "study", {"n": 1}),
        lambda what, done, total: None,
    )
    assert {line["arm"] for line in lines} >= {"ladder", "parallel", "probe-a", "probe-b"}
    assert len({line["seed"] for line in lines}) == len(SEEDS)
    counts = {name: sum(task.computed.get(name, 0) for task in tasks) for name in SOURCES}
    assert counts == {"a": len(pool), "b": len(pool)}
