"""A page with everything on it, of small networks and made-up figures with awkward names."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convgraft.compose import Composite, compose
from convgraft.report.examined import examine
from convgraft.report.fusion_map import fusion_map
from convgraft.report.page_data import Examined, FusionMap, Mistake, Page, Table
from convgraft.report.page_of_run import run_page
from convgraft.report.page_of_study import study_page
from convgraft.strategies import Ingredients
from convgraft.studies import Design, Predictions, build_arm
from helpers import small

EVIL = "<script>alert(1)</script>"
CLASSES = ("cat & dog", EVIL, '" onload="alert(2)')


def row(arm: str, top1: float, macs: int) -> dict[str, Any]:
    test = {"images": 500, "top1": top1, "balanced": top1, "nll": 0.31, "ece": 0.04}
    cost = {"macs": macs, "parameters": 70_000, "trainable": 9_000, "seconds": 12.4}
    return {"arm": arm, "val": top1 + 0.01, "test": test, **cost}


def noted(arm: str, tops: list[float]) -> dict[str, Any]:
    curve = [
        {"epoch": n, "train_loss": 1 / (n + 1), "val": {"label": {"top1": top, "nll": 0.4}}}
        for n, top in enumerate(tops)
    ]
    best = int(np.argmax(tops))
    test = {"label": row(arm, 0.9, 1)["test"]}
    return {"arm": arm, "finished": True, "curve": curve, "best_epoch": best, "test": test}


@pytest.fixture(scope="session")
def metrics() -> Mapping[str, Any]:
    """What a run with baselines has noted."""
    rows = [
        row("cross-skip", 0.912, 26_000_000),
        row("probe-a", 0.874, 12_000_000),
        row(f"finetune-{EVIL}", 0.904, 12_000_000),
        row("average-finetune", 0.908, 25_000_000),
    ]
    data = {"location": f"pictures/{EVIL}", "target": None, "images": 2000, "image_size": 32}
    counts = {"training_images": 1200, "validation_images": 300, "test_images": 500}
    fit = {
        "strategy": "cross-skip",
        "freeze": "discriminative",
        "epochs": 4,
        "lr": 0.001,
        "seed": 0,
    }
    return {
        **noted("cross-skip", [0.7, 0.88, 0.92, 0.91]),
        "rows": rows,
        "data": {**data, **counts, "fingerprint": "0" * 64},
        "fit": fit,
        "convgraft": "0.1.0",
    }


@pytest.fixture(scope="session")
def crossed() -> Composite:
    """Two small networks with wires both ways."""
    given = Ingredients({"a": small(), "b": small(1)}, 32, 3)
    arm = build_arm(Design("cross-skip"), given)
    return compose(arm.plan, arm.sources)


@pytest.fixture(scope="session")
def gates(crossed: Composite) -> Mapping[str, float]:
    """How far each wire has opened."""
    return {str(wire): 0.01 * (number + 1) for number, wire in enumerate(crossed.plan.wires)}


@pytest.fixture(scope="session")
def mapped(crossed: Composite, gates: Mapping[str, float]) -> FusionMap:
    return fusion_map(crossed, "cross-skip", gates=gates, frozen={"a"})


@pytest.fixture(scope="session")
def predictions() -> Predictions:
    """Of sixty images in three classes, most of them right."""
    labels = torch.arange(60) % 3
    chances = torch.rand(60, 3, generator=torch.Generator().manual_seed(3)).double()
    chances[torch.arange(60), labels] += 0.6
    chances = chances / chances.sum(1, keepdim=True)
    ids = tuple(f"{EVIL}/{number:02}.png" for number in range(60))
    return Predictions(ids, labels, chances, CLASSES)


@pytest.fixture(scope="session")
def shown(predictions: Predictions) -> Examined:
    return examine([predictions], "cross-skip: 60 answers on test images.")


@pytest.fixture(scope="session")
def full_page(metrics: Mapping[str, Any], mapped: FusionMap, shown: Examined) -> Page:
    """Every section but that of failed arms."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 20)).save(file, "PNG")
    picture = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    first, *others = shown.mistakes
    pictured = Mistake(first.id, first.label, first.answer, first.probability, picture)
    examined = Examined(**{**vars(shown), "mistakes": (pictured, *others)})
    frozen = Table("Weights by part", ("part", "learned", "frozen"), (("sources.a", "0", "9"),))
    return run_page(
        "my run",
        metrics,
        others={f"finetune-{EVIL}": noted(f"finetune-{EVIL}", [0.6, 0.8, 0.9, 0.9])},
        fusion=mapped,
        examined=examined,
        frozen=(frozen,),
        hashes=(("model.safetensors", "ab" * 32),),
        versions=(("torch", "2"),),
    )


def told_of(arm: str, kind: str, limit: int | None, seed: int) -> dict[str, Any]:
    """A study's line with a learning curve of six epochs."""
    top1 = 0.7 + 0.05 * seed + (0.1 if kind == "join" else 0.0)
    tops = [top1 * (1 - 0.5**epoch) for epoch in range(1, 7)]
    curve = [
        {"epoch": n, "train_loss": 1 - top, "val_top1": top, "val_nll": 0.4}
        for n, top in enumerate(tops)
    ]
    place = {"cell": f"{limit or 'all'}-{seed}", "limit": limit, "seed": seed, "epochs": 6}
    role = {"kind": kind, "baseline": "" if kind == "join" else "probe"}
    figures = {**row(arm, top1, 26_000_000), "latency": {"1": 3.2, "32": 0.8}}
    return {**place, **role, **figures, "training_images": limit or 1200, "curve": curve}


@pytest.fixture(scope="session")
def study_report() -> Page:
    """A study with many arms, several limits and seeds, a leak, a failed arm and its commands."""
    arms = {"cross-skip": "join", f"ladder-{EVIL}": "join", "probe-a": "baseline"}
    arms |= {f"stitch-{n}": "join" for n in range(9)}
    lines = [
        told_of(arm, kind, limit, seed)
        for limit in (100, None) for seed in (0, 1) for arm, kind in arms.items()
    ]  # fmt: skip
    failed = {"cell": "all-0", "limit": None, "seed": 0, "arm": "y", "failed": f"boom {EVIL}"}
    leak = {"digest": "ab" * 32, "places": [["train", f"{EVIL}/1.png"], ["test", "dog/2.png"]]}
    commands = (f"convgraft study ladder DATA --limits {limit} --seeds 2" for limit in (100, "all"))
    return study_page(
        "my study",
        {"study": "ladder", "models": ["A", "B"], "convgraft": "0.1.0"},
        [*lines, failed],
        leaks={"all-0": [leak]},
        calls=[{"command": command, "versions": {"torch": "2"}} for command in commands],
    )
