"""Fits of several phases: what each trains, what is kept, and what a kill in between changes."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

from convgraft.compose import Composite, compose
from convgraft.data import open_images, split_images
from convgraft.errors import UsageError
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from convgraft.studies import Design, build_arm
from convgraft.training import PRESETS, FitOptions, FitResult, FreezePolicy, Task, fit, read_policy
from convgraft.training.module import FitModule
from convgraft.training.stopping import Checkpoint, StopWhenAsked
from helpers import same_state, small

SOURCES = {"a": small(), "b": small(1)}
GIVEN = Ingredients(SOURCES, 8, 10)
FILE = """\
phases:
  - {name: probe, epochs: 2, lr: 0.01, freeze: {"**": frozen, heads: 1}}
  - name: top
    optimizer: sgd
    schedule: constant
    freeze: {"**": frozen, "*:layer3*": {rate: 0.1, statistics: frozen}, heads: 1}
"""


@pytest.fixture
def from_file(tmp_path: Path) -> FreezePolicy:
    file = tmp_path / "policy.yaml"
    file.write_text(FILE)
    return read_policy(str(file))


class Watch:
    """Notes the state of the network at the start and end of every stage, and its optimiser."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states: list[dict[str, str]] = []
        self.frozen: list[set[str]] = []
        self.optimisers: list[str] = []
        start = FitModule.on_train_start
        end = FitModule.on_train_end

        def at_start(module: FitModule) -> None:
            start(module)
            held = module.freeze_map.held
            names = module.composite.state_dict()
            self.frozen.append(
                {n for n in names if n in module.freeze_map.frozen or n.rpartition(".")[0] in held}
                - {n for n, rate in module.freeze_map.rates.items() if rate}
            )
            self.states.append(hashes(module.composite))
            self.optimisers.append(type(module.trainer.optimizers[0]).__name__)

        def at_end(module: FitModule) -> None:
            end(module)
            self.states.append(hashes(module.composite))

        monkeypatch.setattr(FitModule, "on_train_start", at_start)
        monkeypatch.setattr(FitModule, "on_train_end", at_end)

    def stages(self) -> Iterator[tuple[set[str], dict[str, str], dict[str, str]]]:
        """For each stage: frozen tensors, hashes before, hashes after."""
        return zip(self.frozen, self.states[::2], self.states[1::2], strict=True)


def hashes(composite: Composite) -> dict[str, str]:
    return {
        name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
        for name, tensor in composite.state_dict().items()
    }


def train(
    task: Task, policy: FreezePolicy, options: FitOptions | None = None, **more: object
) -> FitResult:
    composite = compose(STRATEGIES["cross-skip"].write(GIVEN), SOURCES)
    return fit(composite, task, policy, options or FitOptions(4, 50), **more)  # type: ignore[arg-type]


def train_arm(task: Task, design: Design, **more: object) -> FitResult:
    arm = build_arm(design, replace(GIVEN, columns=dict.fromkeys(task.images.others, 2)))
    composite = compose(arm.plan, arm.sources)
    return fit(composite, task, arm.policy, FitOptions(4, 50), loss=arm.loss, **more)  # type: ignore[arg-type]


def names(result: FitResult) -> list[str]:
    return [entry["stage"] for entry in result.curve]


@pytest.mark.parametrize(
    ("preset", "epochs", "stages"),
    [
        ("gradual", 4, ["added parts", "upper half", "all", "all"]),
        ("lp-ft", 3, ["probe", "finetune", "finetune"]),
    ],
)
def test_the_curve_names_its_phases(
    preset: str,
    epochs: int,
    stages: list[str],
    digits_task: Task,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = Watch(monkeypatch)
    result = train(digits_task, PRESETS[preset], FitOptions(epochs, 50))
    assert names(result) == stages
    assert [entry["epoch"] for entry in result.curve] == list(range(epochs))
    for frozen, before, after in watch.stages():
        assert {name for name in frozen if before[name] != after[name]} == set()
        assert any(before[name] != after[name] for name in before.keys() - frozen)
    first, *_, last = watch.frozen
    assert first > last


def test_phases_of_a_file_have_their_own_optimiser_schedule_and_epochs(
    digits_task: Task, from_file: FreezePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(monkeypatch)
    result = train(digits_task, from_file, FitOptions(3, 50))
    assert names(result) == ["probe", "probe", "top"]
    assert watch.optimisers == ["AdamW", "SGD"]
    (_, second) = watch.stages()
    frozen, before, after = second
    assert "sources.a.layer3.0.bn1.running_mean" in frozen
    assert {name for name in frozen if before[name] != after[name]} == set()
    assert before["sources.a.layer3.0.bn1.weight"] != after["sources.a.layer3.0.bn1.weight"]


@pytest.mark.parametrize("best", range(4))
def test_the_best_epoch_of_all_phases_comes_back(
    best: int, digits_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[dict[str, str]] = []

    def score(self: FitModule) -> None:
        states.append(hashes(self.composite))
        self.scores["label"] = {"top1": float(len(states) == best + 1), "nll": 1.0}

    monkeypatch.setattr(FitModule, "on_validation_epoch_end", score)
    result = train(digits_task, PRESETS["gradual"])
    assert result.best_epoch == best
    assert len({tuple(state.values()) for state in states}) == 4
    told = hashes(result.composite)
    assert {name for name in told if told[name] != states[best][name]} == set()


class PowerCutError(Exception):
    """Ends a fit without a word."""


def cut_off(monkeypatch: pytest.MonkeyPatch, after: int, train: Callable[[], FitResult]) -> None:
    """Train until right after the checkpoint of the `after`-th epoch of all."""
    write, written = Checkpoint.on_train_epoch_end, []

    def write_and_die(self: Checkpoint, trainer: object, module: object) -> None:
        write(self, trainer, module)  # type: ignore[arg-type]
        written.append(trainer)
        if len(written) == after:
            raise PowerCutError

    monkeypatch.setattr(Checkpoint, "on_train_epoch_end", write_and_die)
    with pytest.raises(PowerCutError):
        train()
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("policy", "after"), [("gradual", 1), ("gradual", 2), ("file", 2), ("file", 3)]
)
def test_a_fit_that_was_cut_off_in_a_phase_ends_in_the_same_weights(
    policy: str,
    after: int,
    digits_task: Task,
    tmp_path: Path,
    from_file: FreezePolicy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = from_file if policy == "file" else PRESETS[policy]
    whole = train(digits_task, chosen)
    go_on = partial(train, digits_task, chosen, checkpoint=tmp_path / "x.ckpt")
    cut_off(monkeypatch, after, go_on)
    torch.manual_seed(4321)
    assert_same(go_on(), whole)


def assert_same(found: FitResult, expected: FitResult) -> None:
    assert same_state(found.composite, expected.composite)
    assert found.curve == expected.curve
    assert found.best_epoch == expected.best_epoch


@pytest.mark.slow
@pytest.mark.parametrize(
    "design",
    [
        Design("stitch", loss="mse"),
        Design("stitch", freeze="all"),
        Design("parallel", loss="co-learning"),
        Design("multitask", balance="gradnorm"),
        Design("multitask", balance="uncertainty"),
        Design("ladder", freeze="lp-ft"),
    ],
    ids=lambda design: f"{design.strategy}-{design.loss or design.freeze or design.balance}",
)
def test_so_does_one_under_any_loss(
    design: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "map.yaml").write_text("parity: {0: even, 1: odd, 2: even, 3: odd}\n")
    several = design.strategy == "multitask"
    images = open_images("digits", label_map=tmp_path / "map.yaml" if several else None)
    task = Task(images, split_images(images, seed=0, limit=60), 8)
    whole = train_arm(task, design)
    for after in (2, 3):
        go_on = partial(train_arm, task, design, checkpoint=tmp_path / f"{after}.ckpt")
        cut_off(monkeypatch, after, go_on)
        torch.manual_seed(4321)
        assert_same(go_on(), whole)


def test_a_fit_that_was_asked_to_stop_in_a_phase_goes_on_there(
    digits_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(digits_task, PRESETS["gradual"])
    steps: list[int] = []
    stop = StopWhenAsked.on_step_end

    def ask(self: StopWhenAsked, *args: object) -> None:
        steps.append(1)
        self.asked = len(steps) == 5  # the first batch of the third phase
        stop(self, *args)

    monkeypatch.setattr(StopWhenAsked, "on_step_end", ask)
    stopped = train(digits_task, PRESETS["gradual"], checkpoint=tmp_path / "x.ckpt")
    monkeypatch.undo()
    assert stopped.interrupted
    assert names(stopped) == ["added parts", "upper half"]
    resumed = train(digits_task, PRESETS["gradual"], checkpoint=tmp_path / "x.ckpt")
    assert not resumed.interrupted
    assert_same(resumed, whole)


@pytest.mark.parametrize("hook", ["setup", "on_train_epoch_end"])
def test_sigterm_that_comes_between_steps_stops_a_fit_that_goes_on(
    hook: str, digits_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(digits_task, PRESETS["gradual"])
    ends: list[int] = []
    done = getattr(Checkpoint, hook)

    def ask(self: Checkpoint, *args: Any, **more: Any) -> None:
        done(self, *args, **more)
        ends.append(1)
        if len(ends) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Checkpoint, hook, ask)
    stopped = train(digits_task, PRESETS["gradual"], checkpoint=tmp_path / "x.ckpt")
    monkeypatch.undo()
    assert stopped.interrupted and len(stopped.curve) < len(whole.curve)
    resumed = train(digits_task, PRESETS["gradual"], checkpoint=tmp_path / "x.ckpt")
    assert not resumed.interrupted
    assert_same(resumed, whole)


def test_sigterm_before_the_first_step_is_no_matter_of_the_trainers(
    digits_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    register = _SignalConnector.register_signal_handlers

    def ask(self: _SignalConnector) -> None:
        register(self)
        os.kill(os.getpid(), signal.SIGTERM)

    def after(module: FitModule) -> None:
        told.append(2)
        assert signal.getsignal(signal.SIGTERM) is before  # a second one ends the process

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(_SignalConnector, "register_signal_handlers", ask)
    # it sends a tensor to the other ranks, which may not be there
    monkeypatch.setattr(_SignalConnector, "_sigterm_notifier_fn", lambda *_: told.append(1))
    monkeypatch.setattr(FitModule, "on_train_epoch_start", after)
    stopped = train(digits_task, PRESETS["gradual"])
    assert stopped.interrupted and stopped.curve == ()
    assert told == [2]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("after", "other"), [(3, "all"), (3, "lp-ft"), (1, "adapters-only"), (1, "discriminative")]
)
def test_a_checkpoint_of_another_policy_is_refused(
    after: int,
    other: str,
    digits_task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoint = tmp_path / "x.ckpt"
    began = partial(train, digits_task, PRESETS["gradual"], checkpoint=checkpoint)
    cut_off(monkeypatch, after, began)
    with pytest.raises(UsageError, match="is of another fit") as caught:
        train(digits_task, PRESETS[other], checkpoint=checkpoint)
    assert "upper half" in str(caught.value.found)
    assert PRESETS[other].phases[-1].name in str(caught.value.expected)


def test_patience_is_for_each_phase_by_itself(
    digits_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the probe rises, falls, and falls again: stopped. The rest begins below it and rises.
    tops = iter([0.5, 0.6, 0.3, 0.2, 0.3, 0.4, 0.5, 0.9])
    asked: list[float] = []

    def score(self: FitModule) -> None:
        asked.append(next(tops))
        self.scores["label"] = {"top1": asked[-1], "nll": 1.0}

    monkeypatch.setattr(FitModule, "on_validation_epoch_end", score)
    result = train(digits_task, PRESETS["lp-ft"], FitOptions(10, 50, patience=1))
    assert names(result) == ["probe"] * 3 + ["finetune"] * 5
    assert result.best_epoch == 7


@pytest.mark.parametrize("loss", ["mse", "two-stage", "final"])
def test_losses_in_stages(loss: str, digits_task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    arm = build_arm(Design("stitch", loss=loss), GIVEN)
    composite = compose(arm.plan, arm.sources)
    result = fit(composite, digits_task, arm.policy, FitOptions(3, 50), loss=arm.loss)
    expected = "adapters-only" if loss == "two-stage" else "heads-only"
    assert names(result) == ["adapters-only", expected, expected]
    (frozen, before, after), (_, then, last) = watch.stages()
    assert {name for name in frozen if before[name] != after[name]} == set()
    assert before["heads.label.classifier.weight"] == after["heads.label.classifier.weight"]
    assert then["heads.label.classifier.weight"] != last["heads.label.classifier.weight"]
    adapters = [name for name in then if "adapters." in name and name.endswith("weight")]
    assert adapters
    assert all(before[name] != after[name] for name in adapters)
    assert all((then[name] == last[name]) == (loss != "two-stage") for name in adapters)


def test_matching_without_an_answer_keeps_its_last_epoch(
    digits_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation of a head that nobody has trained yet says nothing."""
    tops = iter([0.9, 0.1, 0.3, 0.2])
    states: list[dict[str, str]] = []

    def score(self: FitModule) -> None:
        states.append(hashes(self.composite))
        self.scores["label"] = {"top1": next(tops), "nll": 1.0}

    monkeypatch.setattr(FitModule, "on_validation_epoch_end", score)
    arm = build_arm(Design("stitch", loss="mse"), GIVEN)
    composite = compose(arm.plan, arm.sources)
    options = FitOptions(4, 50, patience=1)
    result = fit(composite, digits_task, arm.policy, options, loss=arm.loss)
    assert result.best_epoch == 2
    told = hashes(result.composite)
    assert {name for name in told if told[name] != states[2][name]} == set()
    adapters = [name for name in told if name.startswith("adapters.")]
    assert all(told[name] == states[1][name] for name in adapters)


def test_a_network_of_its_own_classifier_is_judged_while_matching(digits_task: Task) -> None:
    options = StrategyOptions(classifier="own")
    arm = build_arm(Design("stitch", options, loss="two-stage"), GIVEN)
    composite = compose(arm.plan, arm.sources)
    result = fit(composite, digits_task, arm.policy, FitOptions(2, 50), loss=arm.loss)
    ranks = [(e["val"]["label"]["top1"], -e["val"]["label"]["nll"]) for e in result.curve]
    assert result.best_epoch == ranks.index(max(ranks))
