"""The steps that `fit` and `demo` share: train arms, one after another; measure; write the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lightning.pytorch.loggers import Logger

import convgraft
from convgraft.cli.run_folder import RunFolder
from convgraft.compose import Composite
from convgraft.data import write_split
from convgraft.errors import RunError
from convgraft.export import SPLIT, load, save, write_card
from convgraft.strategies import Ingredients
from convgraft.studies import BASELINES, Arm, Row, Trained, average_of, measure_row, train_arm
from convgraft.training import FitOptions, Task, evaluate_part
from convgraft.training.loggers import open_loggers
from convgraft.training.process_group import current_group

Report = Callable[[str, int, int], None]
Loggers = Mapping[str, type[Logger]]


def run_arms(
    arms: Sequence[Arm],
    given: Ingredients,
    task: Task,
    options: FitOptions,
    folder: RunFolder,
    report: Report,
    loggers: Loggers | None = None,
) -> list[Row]:
    """Train every arm, then test every arm, then write the run.

    Args:
        loggers: the classes of those that are told how training goes, by name.
    """
    trained = _train_arms(arms, task, options, folder, report, loggers or {})
    votes = _averages(given, trained)
    rows = _measure_arms(task, trained, votes, folder)
    facts = {**_data_facts(task), **_fit_facts(arms[0], options)}
    if folder.is_ours:
        _write_run(folder, task, trained, votes, rows, facts)
    current_group().wait()  # so that no other rank takes a run for whole that is not
    return rows


def _train_arms(
    arms: Sequence[Arm],
    task: Task,
    options: FitOptions,
    folder: RunFolder,
    report: Report,
    loggers: Loggers,
) -> list[Trained]:
    """Train every arm, the first one first; those that are trained already are taken as they are.

    Raises RunError where somebody stopped it. The folder then holds a loadable artifact of the
    first arm, as far as it came.
    """
    if folder.is_ours:
        write_split(folder.path / SPLIT, task.images, task.split)
    trained: list[Trained] = []
    for arm in arms:
        item = _train_arm(arm, task, options, folder, report, loggers)
        if not item.notes["finished"]:
            raise _stopped(trained[0] if trained else item, item, task, folder)
        trained.append(item)
    return trained


def _train_arm(
    arm: Arm,
    task: Task,
    options: FitOptions,
    folder: RunFolder,
    report: Report,
    loggers: Loggers,
) -> Trained:
    group = current_group()
    if group.from_first(folder.is_trained(arm.name)):
        run = load(group.local_folder(folder.arm(arm.name)), trust_python=True)
        return Trained(arm, run.composite, run.metrics, frozenset(run.metrics.get("frozen", ())))
    trained = train_arm(
        arm,
        task,
        options,
        checkpoint=folder.checkpoint(arm.name),
        on_progress=lambda done, total: report(f"train {arm.name}", done, total),
        loggers=()
        if arm.solved or not folder.is_ours
        else open_loggers(loggers, folder.logs, arm.name),
    )
    if trained.notes["finished"] and folder.is_ours:
        notes = trained.notes
        save(
            folder.arm(arm.name),
            trained.composite,
            labels=task.classes,
            columns=task.columns,
            metrics=notes,
        )
        folder.checkpoint(arm.name).unlink(missing_ok=True)
    return trained


def _stopped(main: Trained, last: Trained, task: Task, folder: RunFolder) -> RunError:
    """Leave a loadable artifact of the first arm; what to tell whoever stopped the work."""
    if not folder.is_ours:
        return RunError("stopped")
    if main.notes["best_epoch"] < 0:
        found = "no epoch was whole yet, so nothing is saved"
    else:
        notes = {**main.notes, "finished": False}
        card = write_card(folder.path.name, main.composite, task.classes, notes)
        save(
            folder.path,
            main.composite,
            labels=task.classes,
            columns=task.columns,
            metrics=notes,
            card=card,
        )
        found = f'{main.arm.name}, as far as it came, is saved in "{folder.path}"'
    return RunError(
        f"stopped while training {last.arm.name}",
        found=found,
        hint="the same command, without --overwrite, goes on from the last checkpoint",
    )


def _averages(given: Ingredients, trained: Sequence[Trained]) -> dict[str, Composite]:
    """The average vote of each baseline's networks, where all of them are trained."""
    found: dict[str, Composite] = {}
    for baseline in BASELINES:
        own = [item for item in trained if item.arm.baseline == baseline]
        members = {next(iter(item.arm.sources)): item.composite for item in own}
        if len(members) > 1:
            found[baseline] = average_of(given, baseline, members)
    return found


def _measure_arms(
    task: Task,
    trained: Sequence[Trained],
    votes: Mapping[str, Composite],
    folder: RunFolder,
) -> list[Row]:
    """Test every arm once, now that nothing is chosen any more, and keep what each predicts."""
    rows = [
        measure_row(
            item.arm.name,
            item.composite,
            task,
            seconds=item.notes["seconds"],
            val=item.notes["val"],
            trainable=item.notes["trainable"],
            frozen=item.frozen,
            keep=folder.predictions(item.arm.name),
        )
        for item in trained
    ]
    for baseline, vote in votes.items():
        members = [i.notes for i in trained if i.arm.baseline == baseline]
        frozen = [path for notes in members for path in notes.get("frozen", ())]
        row = measure_row(
            f"average-{baseline}",
            vote,
            task,
            seconds=sum(notes["seconds"] for notes in members),
            val=evaluate_part(vote, task, "val", frozen)[vote.plan.answer].top1,
            trainable=sum(notes["trainable"] for notes in members),
            frozen=frozen,
            keep=folder.predictions(f"average-{baseline}"),
        )
        rows.append(row)
    return rows


def _write_run(
    folder: RunFolder,
    task: Task,
    trained: Sequence[Trained],
    votes: Mapping[str, Composite],
    rows: Sequence[Row],
    facts: Mapping[str, Any],
) -> None:
    """Write the first arm as the run itself, the others below `baselines/`."""
    table = [row.as_dict() for row in rows]
    for item, row in zip(trained[1:], table[1:], strict=False):
        notes = {**item.notes, "test": {item.composite.plan.answer: row["test"]}}
        _write(folder, f"baselines/{item.arm.name}", item.composite, task, notes)
    for vote, row in zip(votes.values(), table[len(trained) :], strict=True):
        notes = {"arm": row["arm"], "finished": True, "test": {vote.plan.answer: row["test"]}}
        _write(folder, f"baselines/{row['arm']}", vote, task, notes)
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
    save(path, composite, labels=task.classes, columns=task.columns, metrics=notes, card=card)


def _data_facts(task: Task) -> dict[str, Any]:
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


def _fit_facts(main: Arm, options: FitOptions) -> dict[str, Any]:
    """What the run should remember of how it was trained."""
    if main.solved:
        return {"fit": {"strategy": main.name, "solved by": "least squares, in closed form"}}
    loss = main.loss.name if main.loss else "task"
    chosen = {"strategy": main.name, "freeze": main.policy.name, "loss": loss}
    return {"fit": {**chosen, **asdict(options), "lr": options.rate}}
