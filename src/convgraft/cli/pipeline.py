"""The steps that `fit` and `demo` share: train arms, one after another; measure; write the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import convgraft
from convgraft.cli.run_folder import RunFolder
from convgraft.compose import Composite, compose
from convgraft.data import write_split
from convgraft.errors import RunError
from convgraft.export import SPLIT, load, save, write_card
from convgraft.strategies import Ingredients
from convgraft.studies import Arm, Row, average_of, best_val, measure_row
from convgraft.training import FitOptions, Task, evaluate, fit

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained arm, before its test.

    Attributes:
        notes: its curve, chosen epoch, seconds, freeze rules: what its `metrics.json` says.
    """

    arm: Arm
    composite: Composite
    notes: Mapping[str, Any]


def train_arm(
    arm: Arm, task: Task, options: FitOptions, folder: RunFolder, report: Report
) -> Trained:
    """Train an arm, or take it from the folder where it is trained already.

    Raises RunError where somebody stopped it; what was reached is saved then.
    """
    if folder.is_trained(arm.name):
        run = load(folder.arm(arm.name), modules=_modules(arm), trust_python=True)
        return Trained(arm, run.composite, run.metrics)
    result = fit(
        compose(arm.plan, arm.sources, seed=options.seed),
        task,
        arm.policy,
        options,
        checkpoint=folder.checkpoint(arm.name),
        on_progress=lambda done, total: report(f"train {arm.name}", done, total),
    )
    notes = {
        "arm": arm.name,
        "finished": not result.interrupted,
        "val": best_val(result),
        "best_epoch": result.best_epoch,
        "seconds": result.seconds,
        "trainable": sum(
            p.numel() for n, p in result.composite.named_parameters() if result.freeze.rates[n]
        ),
        "freeze": {"name": arm.policy.name, "rules": [list(rule) for rule in arm.policy.rules]},
        "curve": [dict(epoch) for epoch in result.curve],
    }
    if result.interrupted:
        _save_interrupted(folder, result.composite, task, notes)
    save(folder.arm(arm.name), result.composite, labels=task.classes, metrics=notes)
    folder.checkpoint(arm.name).unlink(missing_ok=True)
    return Trained(arm, result.composite, notes)


def _modules(arm: Arm) -> dict[str, Any]:
    return {n: s.module for n, s in arm.sources.items() if s.spec.startswith("module:")}


def _save_interrupted(
    folder: RunFolder, composite: Composite, task: Task, notes: Mapping[str, Any]
) -> None:
    """Leave a loadable artifact of what was reached, unless a finished arm lies there already."""
    if not (folder.path / "metrics.json").is_file():
        save(folder.path, composite, labels=task.classes, metrics=notes)
    raise RunError(
        f"stopped while training {notes['arm']}",
        found=f'the best epoch so far is saved in "{folder.path}"',
        hint="the same command goes on from the last whole epoch",
    )


def averages(given: Ingredients, trained: Sequence[Trained]) -> dict[str, Composite]:
    """The average vote of each baseline's networks, where all of them are trained."""
    found: dict[str, Composite] = {}
    for baseline in ("probe", "finetune"):
        members = {
            name: item.composite
            for item in trained
            for name in given.sources
            if item.arm.name == f"{baseline}-{name}"
        }
        if len(members) > 1 and len(members) == len(given.sources):
            found[f"average-{baseline}"] = average_of(given, baseline, members)
    return found


def measure_arms(
    task: Task,
    trained: Sequence[Trained],
    votes: Mapping[str, Composite],
) -> list[Row]:
    """Test every arm once, now that nothing is chosen any more."""
    rows = [
        measure_row(
            item.arm.name,
            item.composite,
            task,
            seconds=item.notes["seconds"],
            val=item.notes["val"],
            trainable=item.notes["trainable"],
        )
        for item in trained
    ]
    for name, vote in votes.items():
        baseline = name.removeprefix("average-")
        seconds = sum(r.seconds for r in rows if r.arm.startswith(f"{baseline}-"))
        val = evaluate(vote, task.pixels("val"))[vote.plan.answer].top1
        rows.append(measure_row(name, vote, task, seconds=seconds, val=val))
    return rows


def write_run(
    folder: RunFolder,
    task: Task,
    trained: Sequence[Trained],
    votes: Mapping[str, Composite],
    rows: Sequence[Row],
    facts: Mapping[str, Any],
) -> None:
    """Write the first arm as the run itself, the others below `baselines/`."""
    table = [row.as_dict() for row in rows]
    write_split(folder.path / SPLIT, task.images, task.split)
    for item, row in zip(trained[1:], table[1:], strict=False):
        notes = {**item.notes, "test": {item.composite.plan.answer: row["test"]}}
        _write(folder, f"baselines/{item.arm.name}", item.composite, task, notes)
    for name, row in zip(votes, table[len(trained) :], strict=True):
        notes = {"arm": name, "finished": True, "test": {votes[name].plan.answer: row["test"]}}
        _write(folder, f"baselines/{name}", votes[name], task, notes)
    main = trained[0]
    notes = {
        **main.notes,
        **facts,
        "convgraft": convgraft.__version__,
        "test": {main.composite.plan.answer: table[0]["test"]},
        "rows": table,
        "test_reads": list(task.test_reads),
        "finished": True,
    }
    _write(folder, "", main.composite, task, notes)
    folder.finish()


def _write(
    folder: RunFolder, place: str, composite: Composite, task: Task, notes: Mapping[str, Any]
) -> None:
    path = folder.path / place
    card = write_card(path.name, composite, task.classes, notes)
    save(path, composite, labels=task.classes, metrics=notes, card=card)


def data_facts(task: Task) -> dict[str, Any]:
    """What the run should remember of its data."""
    split = task.split
    return {
        "data": {
            "location": task.images.location,
            "target": task.images.target,
            "images": len(task.images),
            "image_size": task.size,
            "training_images": len(split.train),
            "validation_images": len(split.val),
            "test_images": len(split.test),
            "split_seed": split.seed,
            "broken_images": [image.id for image in task.broken],
            "fingerprint": task.images.fingerprint,
        }
    }


def fit_facts(strategy: str, freeze: str, options: FitOptions) -> dict[str, Any]:
    """What the run should remember of how it was trained."""
    return {"fit": {"strategy": strategy, "freeze": freeze, **asdict(options), "lr": options.rate}}
