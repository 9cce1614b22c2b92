"""What happens around the epochs of a fit: best weights, checkpoints, progress, Ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as lit
from torch import Tensor

from convgraft.compose import Composite
from convgraft.durable.on_disk import make_folder, put_in_place
from convgraft.training.freeze import Freeze
from convgraft.training.module import FitModule, NotFinite, trainable_state
from convgraft.training.process_group import Interrupted, current_group
from convgraft.training.steps import StepCallback
from convgraft.training.within_epoch import WithinEpoch

LOOK_SECONDS = 1.0  # between two questions whether another rank was asked to stop
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_KEPT = ("epoch", "blind", "picked", "seconds", "weights", "curve", "_stage_began")


class BestWeights(lit.Callback):
    """Remembers the weights of the epoch whose validation was best, and the curve of all epochs.

    Best is the highest mean top-1 of the judged answers (or the highest of any, where one is
    picked), the lower NLL among equals. One such memory goes through all stages of a fit.

    Attributes:
        epoch: the best one, counted over all stages; -1 before the first.
        picked: the answer that was best there.
        blind: whether that epoch is of a stage whose validation says nothing.
    """

    def __init__(self, judged: Sequence[str], *, pick: bool, patience: int | None) -> None:
        self.judged, self.pick, self.patience = tuple(judged), pick, patience
        self.epoch = -1
        self.picked = self.judged[-1]
        self.seconds = 0.0
        self.weights: dict[str, Tensor] = {}
        self.curve: list[dict[str, Any]] = []
        self.blind = False
        self._changing: set[str] = set()
        self._stage, self._stage_began, self._enters_blind = "", 0, False
        self._began: float | None = None  # of the epoch that goes on

    def enter(
        self, stage: str, freeze: Freeze, composite: Composite, *, blind: bool = False
    ) -> None:
        """A stage begins: what it trains is to be remembered, beside what changed before.

        Of a `blind` stage, whose loss does not teach the answer that is judged, the last epoch
        is kept, and only until another stage has one.
        """
        self._enters_blind = blind
        changing = trainable_state(composite, freeze)
        self._changing |= set(changing)
        if self.epoch >= 0:  # the best epoch so far had these as they are now
            for name in changing.keys() - self.weights.keys():
                self.weights[name] = changing[name].detach().cpu().clone()
        self._stage, self._stage_began = stage, len(self.curve)

    @property
    def earlier_epochs(self) -> int:
        """How many epochs the stages before this one took."""
        return self._stage_began

    def on_train_epoch_end(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """Score the epoch that ended; raises NotFinite where a weight is no number any more."""
        assert isinstance(pl_module, FitModule)
        _check_finite(pl_module, sorted(self._changing))
        scores = {name: dict(score) for name, score in pl_module.scores.items()}
        entry = {"epoch": len(self.curve), "train_loss": pl_module.mean_loss(), "val": scores}
        shares = pl_module.balance.shares()
        self.curve.append({**entry, "stage": self._stage, **({"shares": shares} if shares else {})})
        newest = len(self.curve) - 1
        if self.blind or self._enters_blind or self.epoch < 0 or self._beats(newest, self.epoch):
            self.epoch, self.blind = newest, self._enters_blind
            self.picked = max(self.judged, key=lambda name: _rank(scores[name]))
            self.weights = _copies(pl_module.composite, sorted(self._changing))
        self.seconds, self._began = self._seconds_by_now(), None

    def _seconds_by_now(self) -> float:
        return self.seconds + (0.0 if self._began is None else time.monotonic() - self._began)

    def on_train_epoch_start(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """End the stage here if its last epochs brought nothing, also after a resume."""
        self._began = time.monotonic()
        epochs = range(self._stage_began, len(self.curve))
        if self.patience is None or self._enters_blind or not epochs:
            return
        if epochs[-1] - max(epochs, key=self._rank) >= self.patience:
            raise OutOfPatience

    def _beats(self, epoch: int, other: int) -> bool:
        return self._rank(epoch) > self._rank(other)

    def _rank(self, epoch: int) -> tuple[float, float]:
        ranks = [_rank(self.curve[epoch]["val"][name]) for name in self.judged]
        if self.pick:
            return max(ranks)
        return sum(top1 for top1, _ in ranks) / len(ranks), sum(nll for _, nll in ranks)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        kept = {name: getattr(self, name) for name in _KEPT}
        return kept | {"changing": sorted(self._changing), "seconds": self._seconds_by_now()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._changing |= set(state_dict["changing"])
        for name in _KEPT:
            setattr(self, name, state_dict[name])


def _check_finite(module: FitModule, names: Sequence[str]) -> None:
    for name in names:
        if not _tensor(module.composite, name).isfinite().all():
            raise NotFinite(f'"{name}" became infinite or no number', module.current_epoch)


def _tensor(composite: Composite, name: str) -> Tensor:
    path, _, own = name.rpartition(".")
    return getattr(composite.get_submodule(path), own)


def _copies(composite: Composite, names: Sequence[str]) -> dict[str, Tensor]:
    """Some tensors of a network on the CPU, without a walk through all that is frozen."""
    return {name: _tensor(composite, name).detach().to("cpu", copy=True) for name in names}


def _rank(score: Mapping[str, float]) -> tuple[float, float]:
    return score["top1"], -score["nll"]


class Checkpoint(StepCallback):
    """Writes one checkpoint after every epoch, and every so often in it, whole or not at all.

    Rank zero writes; the others do their part in gathering what it writes.

    Args:
        minutes: between two checkpoints within an epoch; 0: none there.
    """

    def __init__(self, path: Path, minutes: float = 0.0) -> None:
        self.path, self.minutes = path, minutes
        self._last = time.monotonic()
        self._trainer: Any = None
        self._before = 0

    def on_train_epoch_start(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """Whose state it is."""
        assert isinstance(pl_module, FitModule)
        self._trainer, self._before = trainer, pl_module.current_epoch * pl_module.steps_of_epoch

    def on_train_epoch_end(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """Write the state after the epoch that ended."""
        assert isinstance(pl_module, FitModule)
        self._write(trainer, pl_module, WithinEpoch(epoch=trainer.current_epoch + 1))

    def wish(self) -> bool:
        """Whether the last one was long ago, by rank zero's clock."""
        if not self.minutes or time.monotonic() - self._last < 60 * self.minutes:
            return False
        return current_group().is_first

    def on_step_end(self, done: int) -> None:
        """Write the state after the step that ended, where it is time."""
        if not self.is_due:
            return
        module, step = self._trainer.lightning_module, done - self._before
        if step < module.steps_of_epoch:  # the epoch's own checkpoint follows at once
            self._write(self._trainer, module, module.within_now(step))

    def _write(self, trainer: lit.Trainer, module: FitModule, within: WithinEpoch) -> None:
        if current_group().is_first:
            make_folder(self.path.parent)
        part = self.path.with_suffix(".part")
        module.within = within
        trainer.save_checkpoint(part)
        module.within = WithinEpoch()
        if current_group().is_first:
            put_in_place(part, self.path)
        self._last = time.monotonic()


class StepProgress(StepCallback):
    """Tells how many of all steps are done, `before` of them in earlier stages."""

    def __init__(self, report: Callable[[int, int], None], before: int, total: int) -> None:
        self.report, self.before, self.total = report, before, total

    def on_step_end(self, done: int) -> None:
        """One step more."""
        self.report(self.before + done, self.total)


class OutOfPatience(Exception):  # noqa: N818 - it is no error
    """The validation score has not risen for as many epochs as the options allow."""


class StopWhenAsked(StepCallback):
    """Ends the fit after the batch in which Ctrl-C or SIGTERM came."""

    def __init__(self) -> None:
        self.asked, self._looked = False, 0.0
        self._ask: Any = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the first Ctrl-C or SIGTERM; a second one ends the process as usual."""
        before = {}

        def ask(number: int, frame: Any) -> None:
            self.asked = True
            signal.signal(number, before[signal.Signals(number)])

        try:
            before = {number: signal.signal(number, ask) for number in _SIGNALS}
            self._ask = ask
        except ValueError:  # not in the main thread: somebody else handles signals
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_train_start(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """Keep Lightning from what it does at SIGTERM: end one rank alone, or with exit code 0."""
        if self._ask and not self.asked:
            signal.signal(signal.SIGTERM, self._ask)

    def is_asked_anywhere(self) -> bool:
        """Whether somebody asked this process or, as of a second ago, another rank.

        For work that every rank does by itself.
        """
        now, group = time.monotonic(), current_group()
        if group.world > 1 and now - self._looked > LOOK_SECONDS:
            self._looked = now
            if self.asked:
                group.ask_to_stop()
            self.asked = self.asked or group.is_asked_to_stop()
        return self.asked

    def wish(self) -> bool:
        """Whether somebody asked this process."""
        return self.asked

    def on_scored(self) -> None:
        """Stop here if asked."""
        if self.is_due:
            raise Interrupted

    def on_step_end(self, done: int) -> None:
        """Stop here if asked."""
        if self.is_due:
            self.asked = True
            raise Interrupted
