"""Lightning's strategy for a module whose weights are spread over the ranks by itself.

Checkpoints are those of any other fit: whole, written by rank zero. So a fit goes on from one with
any number of ranks, spread or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.optim import Optimizer

from convgraft.training.module_sharded import FitModuleSharded
from convgraft.training.optimisers import FUSED
from convgraft.training.sharded import share_of, whole_of

BALANCE = "balance."


class ShardedStrategy(DDPStrategy):
    """Trains a `FitModuleSharded`; its gradients are summed on their way back, by the module."""

    @property
    def fitted(self) -> FitModuleSharded:
        """What it trains."""
        assert isinstance(self.lightning_module, FitModuleSharded)
        return self.lightning_module

    def configure_ddp(self) -> None:
        """Nothing is wrapped around the module."""

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The whole network, for a checkpoint; all ranks ask for it together."""
        own = self.fitted.balance.state_dict(prefix=BALANCE)
        return {**self.fitted.whole().state_dict(prefix="composite."), **own}

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """What is beside the network, whose weights were read before they were spread."""
        state = checkpoint["state_dict"]
        own = {n.removeprefix(BALANCE): t for n, t in state.items() if n.startswith(BALANCE)}
        self.fitted.balance.load_state_dict(own, strict=strict)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """What an optimiser keeps, whole and as one process has it; all ranks ask together."""
        found = optimizer.state_dict()
        state = {
            number: {name: _on_cpu(value) for name, value in kept.items()}
            for number, kept in found["state"].items()
        }
        usual = {"fused": self.root_device.type in FUSED, "foreach": None}
        return {"state": state, "param_groups": [g | usual for g in found["param_groups"]]}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """This rank's share of what optimisers kept."""
        for moved, found in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            weights = [weight for group in moved.param_groups for weight in group["params"]]
            state = {
                number: {name: _cut(value, weights[number]) for name, value in kept.items()}
                for number, kept in found["state"].items()
            }
            groups = [
                then | {name: now[name] for name in ("fused", "foreach")}
                for then, now in zip(found["param_groups"], moved.param_groups, strict=True)
            ]
            moved.load_state_dict({"state": state, "param_groups": groups})


def _on_cpu(value: Any) -> Any:
    return whole_of(value).cpu() if isinstance(value, Tensor) else value


def _cut(value: Any, weight: Tensor) -> Any:
    return share_of(value, weight) if isinstance(value, Tensor) else value
