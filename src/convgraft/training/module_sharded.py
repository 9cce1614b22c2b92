"""The composite as a LightningModule of one of several ranks, each of which has a share of it."""

from __future__ import annotations

from typing import Any

from convgraft.compose import Composite
from convgraft.training.epochs import Batch
from convgraft.training.freeze import trainable_state
from convgraft.training.module_over_ranks import FitModuleOverRanks
from convgraft.training.sharded import Sharded, average_gradients


class FitModuleSharded(FitModuleOverRanks):
    """Trains a composite whose weights are spread over the ranks; as `FitModuleOverRanks`."""

    _sharded: Sharded | None = None
    _is_behind = False  # whether the whole composite lacks what the last steps made of it

    def configure_model(self) -> None:
        """Spread the composite, once Lightning has connected the ranks and knows the device."""
        if self._sharded is not None:
            return
        whole = self.composite
        self.trainer.precision_plugin.convert_module(whole)
        taught = {name for term in self.objective.terms for name in term.of}
        self._sharded = Sharded(whole, taught, self.trainer.strategy.root_device)
        self.composite = self._sharded.parts

    def training_step(self, batch: Batch | str, index: int) -> None:  # type: ignore[override]
        """One step; as `FitModuleOverRanks.training_step`."""
        self._is_behind = True
        super().training_step(batch, index)

    def whole(self) -> Composite:
        """The composite with all its weights, on the CPU; all ranks ask for it together."""
        assert self._sharded is not None
        if self._is_behind:
            self._sharded.gather(trainable_state(self._sharded.whole, self.freeze_map).keys())
            self._is_behind = False
        return self._sharded.whole

    def configure_optimizers(self) -> Any:
        """As `FitModule`; gradients of what every rank has whole are averaged before each step."""
        optimisers, schedules = super().configure_optimizers()
        assert self._sharded is not None
        kept = [*self._sharded.kept_whole, *self.balance.parameters()]
        for moved in optimisers:
            for group in moved.param_groups:  # no fused kernel knows of weights that are spread
                group.update(fused=False, foreach=not self._sharded.kept_whole)
            moved.register_step_pre_hook(lambda *_: average_gradients(kept))
        return optimisers, schedules
