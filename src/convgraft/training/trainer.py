"""Lightning's trainer for one stage of a fit: alone, or one of several ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as lit
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import DDPStrategy, Strategy

from convgraft.errors import UsageError
from convgraft.training.options import FitOptions
from convgraft.training.process_group import Group, current_group


class GroupEnvironment(ClusterEnvironment):
    """Tells Lightning of a group whose processes are there already, whoever started them."""

    def __init__(self, group: Group, device: int) -> None:
        """`device`: which of the devices that this process sees it trains on."""
        super().__init__()
        self._group, self._device = group, device

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning is to start none."""
        return True

    @property
    def main_address(self) -> str:
        """Not asked for: the processes are connected already."""
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        """Not asked for: the processes are connected already."""
        return 0

    @staticmethod
    def detect() -> bool:
        """It is never guessed."""
        return False

    def world_size(self) -> int:
        """The number of ranks."""
        return self._group.world

    def set_world_size(self, size: int) -> None:
        """It is what it is."""

    def global_rank(self) -> int:
        """This one's rank."""
        return self._group.rank

    def set_global_rank(self, rank: int) -> None:
        """It is what it is."""

    def local_rank(self) -> int:
        """The place of this process's device among those that it sees."""
        return self._device

    def node_rank(self) -> int:
        """Which machine this is, where all have as many ranks."""
        return self._group.rank // max(1, self._group.local_world)


def trainer_for(
    options: FitOptions, callbacks: Sequence[lit.Callback], *, unused: bool = False
) -> lit.Trainer:
    """A trainer of the group that this process is in.

    Args:
        unused: whether some of what learns has no part in the loss.

    Raises UsageError where the machine does not have the accelerator or the precision.
    """
    group = current_group()
    spread: dict[str, Any] = {"devices": 1}
    if group.world > 1:
        spread = _spread(options, group, unused)
    try:
        trainer = lit.Trainer(
            max_epochs=options.epochs,
            accelerator=options.accelerator,
            precision=options.precision,  # type: ignore[arg-type]
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **spread,
        )
    except (MisconfigurationException, ValueError) as error:
        raise UsageError(
            f'accelerator "{options.accelerator}" with precision "{options.precision}" is not to '
            "be had on this machine",
            found=str(error),
            hint="--accelerator auto --precision 32-true",
        ) from error
    if trainer.precision != options.precision:  # Lightning takes another one, with a warning
        raise UsageError(
            f'precision "{options.precision}" is not to be had on this machine',
            found=f'Lightning would train in "{trainer.precision}"',
            hint=f"--precision {trainer.precision}, or 32-true",
        )
    return trainer


def _spread(options: FitOptions, group: Group, unused: bool) -> dict[str, Any]:
    """What Lightning is to know of the ranks."""
    on_gpus = options.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    seen = torch.cuda.device_count() if on_gpus else group.local_world
    devices = min(seen, group.local_world)
    environment = GroupEnvironment(group, group.local_rank % devices)
    return {
        "devices": devices,
        "num_nodes": max(1, group.world // max(1, group.local_world)),
        "strategy": _strategy(environment, group, unused),
        "use_distributed_sampler": False,
        "inference_mode": not group.sharded,  # weights gathered in it could not learn afterwards
    }


def _strategy(environment: GroupEnvironment, group: Group, unused: bool) -> Strategy:
    """Gradients of what learns are summed; no buffer is ever sent.

    Nothing that is frozen is sent either, unless weights are spread over the ranks.
    """
    if group.sharded:
        from convgraft.training.sharded_strategy import ShardedStrategy

        return ShardedStrategy(cluster_environment=environment)
    return DDPStrategy(
        cluster_environment=environment,
        find_unused_parameters=unused,
        broadcast_buffers=False,
        init_sync=False,
        gradient_as_bucket_view=True,
    )
