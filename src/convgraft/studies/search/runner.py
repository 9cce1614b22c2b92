"""Run a search: one pass over the images, predictions in closed form, then trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from convgraft.errors import UsageError
from convgraft.strategies import Ingredients
from convgraft.studies.search.batches import Batches
from convgraft.studies.search.features import Features, Report, all_features
from convgraft.studies.search.networks import Networks, subsets
from convgraft.studies.search.pace import Clock, Pace
from convgraft.studies.search.predict import Prediction, Predictor
from convgraft.studies.search.price import Ceiling
from convgraft.studies.search.rules import Rules
from convgraft.studies.search.solved import Solver
from convgraft.studies.search.space import FROZEN, LEARNING, Candidate
from convgraft.studies.search.store import Line, SearchStore
from convgraft.studies.search.trial_task import Keep
from convgraft.studies.search.trials import Proposals
from convgraft.studies.search.work import Work
from convgraft.training import Task

JOURNAL, PREDICTIONS = "optuna.journal", "predictions.json"


def run_search(
    given: Ingredients,
    task: Task,
    rules: Rules,
    store: SearchStore,
    keep: Keep,
    report: Report,
    batches: Batches | None = None,
) -> list[Line]:
    """Search for as long as the rules allow; every line of the store, earlier ones too.

    Args:
        keep: writes a trained network to a folder; called for each one that is the best so far.
        report: called with (what, done, total).
        batches: trains as many candidates side by side as it has workers; None: this process
            trains one after another.

    Raises UsageError where nothing can be trained within the rules; RunError where somebody
    stopped it: the same call goes on with the next trial.
    """
    clock = Clock(60 * rules.minutes, store.elapsed)
    try:
        _prepare(given, task, rules, store, keep, report, clock, batches).run()
    finally:
        store.spend(clock.spent)
    return store.lines


def _prepare(
    given: Ingredients,
    task: Task,
    rules: Rules,
    store: SearchStore,
    keep: Keep,
    report: Report,
    clock: Clock,
    batches: Batches | None,
) -> Work:
    features = all_features(given, task, report)
    within = affordable(features, rules.ceiling)
    seed = rules.options.seed
    predictor = Predictor(given, features, task, seed)
    predictions = predictor.predict(within)
    store.note(PREDICTIONS, [_told(one) for one in predictions])
    train, val = (len(task.pixels(part)) for part in ("train", "val"))
    pace = Pace(features, train, val, rules.options.batch_size)
    for line in store.lines:
        pace.learn(Candidate.of(line), line["seconds"])
    journal = store.folder / JOURNAL
    proposals = {
        kind: Proposals.open(
            journal, kind, ways, Networks(tuple(features), within), seed, batches is not None
        )
        for kind, ways in (("frozen", FROZEN), ("learning", LEARNING))
    }
    return Work(
        given=given,
        task=task,
        rules=rules,
        store=store,
        keep=keep,
        report=report,
        clock=clock,
        pace=pace,
        predictions=predictions,
        solver=Solver(predictor),
        proposals=proposals,
        batches=batches,
    )


def affordable(features: Mapping[str, Features], ceiling: Ceiling) -> list[tuple[str, ...]]:
    """The subsets whose networks, run whole, are within the ceiling; raises UsageError for none."""
    macs = {name: one.macs for name, one in features.items()}
    known = subsets(list(features))
    most = float("inf") if ceiling.macs is None else ceiling.macs
    found = [chosen for chosen in known if sum(map(macs.__getitem__, chosen)) <= most]
    if not found:
        raise UsageError(
            "every network costs more than it may",
            expected=f"--max-macs of {min(macs.values()):,} or more",
            found=f"{most:,.0f}",
        )
    return found


def _told(one: Prediction) -> dict[str, Any]:
    told = {key: value for key, value in asdict(one).items() if key != "candidate"}
    return {"candidate": str(one.candidate), **told}
