"""Where a checkpoint was written: after whole epochs, or after some steps of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from convgraft.errors import UsageError
from convgraft.training.process_group import current_group


@dataclass(frozen=True, eq=False)
class WithinEpoch:
    """How far a stage had come.

    Attributes:
        epoch: whole epochs of the stage; None where nothing is known.
        step: steps of the next one.
        steps: that there are in an epoch.
        losses: of those steps, [step].
        random: states of the generators, the CPU's and that of an accelerator.
        world: how many ranks there were; with another number each draws anew.
    """

    epoch: int | None = None
    step: int = 0
    steps: int = 0
    losses: Tensor = field(default_factory=lambda: torch.zeros(0))
    random: tuple[Tensor, ...] = ()
    world: int = 1

    @classmethod
    def now(
        cls, epoch: int, step: int, steps: int, losses: Tensor, device: torch.device
    ) -> WithinEpoch:
        """As it is now on a device."""
        random = [torch.get_rng_state()]
        if device.type == "cuda":
            random.append(torch.cuda.get_rng_state(device))
        return cls(epoch, step, steps, losses, tuple(random), current_group().world)

    def as_state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "steps": self.steps,
            "losses": self.losses,
            "random": list(self.random),
            "world": self.world,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> WithinEpoch:
        """As a checkpoint has it; an older one knows nothing of it."""
        if state.get("epoch") is None:
            return cls()
        names = ("epoch", "step", "steps", "losses", "world")
        known = {name: state[name] for name in names}
        return cls(**known, random=tuple(state["random"]))

    def check_steps(self, steps: int) -> None:
        """Raise UsageError where the epoch that had begun has another number of steps now."""
        if self.step and steps != self.steps:
            raise UsageError(
                "the checkpoint was written in the middle of another epoch",
                expected=f"{self.steps} steps in an epoch",
                found=f"{steps}",
                hint="the same images and --batch-size, or another --out",
            )

    def restore_random(self, device: torch.device) -> None:
        """Go on drawing where one process left off; several ranks draw anew."""
        if self.world != 1 or current_group().world != 1 or not self.random:
            return
        torch.set_rng_state(self.random[0])
        if device.type == "cuda" and len(self.random) > 1:
            torch.cuda.set_rng_state(self.random[1], device)
