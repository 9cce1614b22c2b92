"""What happens around the epochs of a fit: the best weights, and progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning as lit
from torch import Tensor

from convgraft.compose import Composite
from convgraft.training.freeze import Freeze, trainable_state
from convgraft.training.module import FitModule, NotFinite
from convgraft.training.steps import StepCallback

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
        whole = pl_module.whole()
        _check_finite(whole, sorted(self._changing), pl_module.current_epoch)
        scores = {name: dict(score) for name, score in pl_module.scores.items()}
        entry = {"epoch": len(self.curve), "train_loss": pl_module.mean_loss(), "val": scores}
        shares = pl_module.balance.shares()
        self.curve.append({**entry, "stage": self._stage, **({"shares": shares} if shares else {})})
        newest = len(self.curve) - 1
        if self.blind or self._enters_blind or self.epoch < 0 or self._beats(newest, self.epoch):
            self.epoch, self.blind = newest, self._enters_blind
            self.picked = max(self.judged, key=lambda name: _rank(scores[name]))
            self.weights = _copies(whole, sorted(self._changing))
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


def _check_finite(composite: Composite, names: Sequence[str], epoch: int) -> None:
    for name in names:
        if not _tensor(composite, name).isfinite().all():
            raise NotFinite(f'"{name}" became infinite or no number', epoch)


def _tensor(composite: Composite, name: str) -> Tensor:
    path, _, own = name.rpartition(".")
    return getattr(composite.get_submodule(path), own)


def _copies(composite: Composite, names: Sequence[str]) -> dict[str, Tensor]:
    """Some tensors of a network on the CPU, without a walk through all that is frozen."""
    return {name: _tensor(composite, name).detach().to("cpu", copy=True) for name in names}


def _rank(score: Mapping[str, float]) -> tuple[float, float]:
    return score["top1"], -score["nll"]


class OutOfPatience(Exception):  # noqa: N818 - it is no error
    """The validation score has not risen for as many epochs as the options allow."""


class StepProgress(StepCallback):
    """Tells how many of all steps are done, `before` of them in earlier stages."""

    def __init__(self, report: Callable[[int, int], None], before: int, total: int) -> None:
        self.report, self.before, self.total = report, before, total

    def on_step_end(self, done: int) -> None:
        """One step more."""
        self.report(self.before + done, self.total)
