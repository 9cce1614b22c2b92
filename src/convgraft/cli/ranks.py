"""How many ranks a command was asked for, and where they meet."""

from __future__ import annotations

from dataclasses import dataclass

from convgraft.errors import UsageError

FSDP = "fsdp"
STRATEGIES = ("auto", "ddp", FSDP)


@dataclass(frozen=True)
class Launch:
    """What was asked for.

    Attributes:
        devices: ranks on this machine.
        num_nodes: machines, all with as many ranks.
        node_rank: of this machine, from 0.
        master: HOST:PORT of machine 0, where all meet.
        strategy: of `STRATEGIES`.
    """

    devices: int = 1
    num_nodes: int = 1
    node_rank: int | None = None
    master: str | None = None
    strategy: str = "auto"

    def check(self) -> None:
        """Raise UsageError for what does not go together."""
        if self.strategy not in STRATEGIES:
            raise UsageError(
                f'there is no strategy "{self.strategy}"', expected=", ".join(STRATEGIES)
            )

    @property
    def host(self) -> tuple[str, int]:
        """Where ranks on several machines meet; raises UsageError where nobody said."""
        host, _, port = (self.master or "").rpartition(":")
        if not host or not port.isdecimal() or self.node_rank is None:
            raise UsageError(
                "several machines have to know each other",
                expected="--node-rank K and --master HOST:PORT on each, or torchrun, or srun",
                found=f"--num-nodes {self.num_nodes}",
            )
        if not 0 <= self.node_rank < self.num_nodes:
            raise UsageError(
                "machines are counted from 0",
                expected=f"--node-rank 0 to {self.num_nodes - 1}",
                found=str(self.node_rank),
            )
        return host, int(port)
