"""A composite whose weights are spread over the ranks, by PyTorch's `fully_shard`.

Each rank has a share of every weight, of its gradient and of what the optimiser keeps of it. The
weights of a group of modules are gathered from all ranks before the group runs and let go after
it, once on the way to the loss and once on the way back; then their gradients are summed, and each
rank is given its share. What is frozen is spread just so where a step runs it: gathering copies
bits. What no step runs stays in this machine's memory, off the device.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from convgraft.compose import Composite
from convgraft.errors import UsageError
from convgraft.training.options import FitOptions
from convgraft.training.shard_groups import idle_modules, shard_groups

OTHERS = ("mps", "tpu")  # accelerators whose processes cannot gather weights


class Sharded:
    """A composite twice: whole on the CPU, and spread over the ranks, where it is trained.

    Attributes:
        whole: has the weights of when they were last gathered; frozen ones never change.
        parts: the same network to train; its weights are `DTensor`s outside of a forward call.
        kept_whole: weights that learn and cannot be cut, as they are a single number.
    """

    def __init__(self, whole: Composite, taught: Collection[str], device: torch.device) -> None:
        """Spread a composite; all ranks do it together.

        Args:
            whole: is brought to the CPU, and shares nothing with `parts`.
            taught: names of the outputs that the loss depends on.
        """
        self.whole = whole.cpu()
        self.parts = _busy_twin(whole)
        numbers = [weight for weight in self.parts.parameters() if not weight.dim()]
        for weight in self.parts.parameters():
            weight.data = weight.data.contiguous()  # as it is cut by rows
        mesh = init_device_mesh(device.type, (dist.get_world_size(),))
        for group in shard_groups(self.parts, taught):
            modules = [self.parts.get_submodule(path) for path in group]
            fully_shard(modules, mesh=mesh, reshard_after_forward=True)
        fully_shard(self.parts, mesh=mesh, reshard_after_forward=True, ignored_params=set(numbers))
        self.kept_whole = tuple(weight for weight in numbers if weight.requires_grad)

    @torch.no_grad()
    def gather(self, names: Collection[str]) -> None:
        """Bring these tensors of `whole` up to date; all ranks do it together."""
        parts = {**dict(self.parts.named_parameters()), **dict(self.parts.named_buffers())}
        whole = self.whole.state_dict()
        for name in sorted(names & parts.keys()):
            whole[name].copy_(whole_of(parts[name]))


def _busy_twin(whole: Composite) -> Composite:
    """A copy of a composite without what it never runs."""
    memo: dict[int, Any] = {
        id(whole.get_submodule(path)): nn.Module() for path in idle_modules(whole)
    }
    root = copy.deepcopy(whole.root(), memo)
    held = frozenset(path for path, _ in root.named_modules()) & whole.held
    graphs = {False: copy.deepcopy(whole.graph), True: copy.deepcopy(whole.train_graph)}
    return Composite(root, whole.resolved, held, graphs).train(whole.training)


def whole_of(tensor: Tensor) -> Tensor:
    """All of a tensor that may be spread over ranks, which then all ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def share_of(value: Tensor, like: Tensor) -> Tensor:
    """This rank's share of a value that every rank has whole, cut as a weight is; sends nothing."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    own = value.to(like.device)
    return distribute_tensor(own, like.device_mesh, like.placements, src_data_rank=None)


def average_gradients(weights: Sequence[Tensor]) -> None:
    """The mean over all ranks of the gradients of weights that each has whole, in place."""
    grads = [weight.grad for weight in weights if weight.grad is not None]
    if not grads:
        return
    summed = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(summed)
    summed /= dist.get_world_size()
    for grad, value in zip(grads, summed.split([g.numel() for g in grads]), strict=True):
        grad.copy_(value.reshape(grad.shape))


def check_shardable(options: FitOptions, balance: str) -> None:
    """Raise UsageError for a fit whose weights cannot be spread over ranks."""
    if options.precision == "16-mixed":  # each rank would scale its loss by itself
        found, hint = "--precision 16-mixed", "--precision bf16-mixed"
    elif balance == "gradnorm":  # it asks for gradients of a weight that is whole
        found, hint = "--balance gradnorm", "--balance uncertainty"
    elif options.accelerator in OTHERS:
        found, hint = f"--accelerator {options.accelerator}", "--accelerator gpu, or cpu"
    else:
        return
    raise UsageError(
        "weights cannot be spread over ranks in this fit",
        found=f"--strategy-dist fsdp with {found}",
        hint=f"{hint}; or --strategy-dist ddp",
    )
