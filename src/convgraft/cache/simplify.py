"""A frozen graph without what does nothing in evaluation, and with shorter preprocessing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torchvision.ops import StochasticDepth

from convgraft.sources.preprocess import Preprocess

_IDLE = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, StochasticDepth)


class FoldedPreprocess(nn.Module):
    """As `Preprocess`, within rounding, with all that is done to one pixel as one step."""

    scale: Tensor
    pixel_scale: Tensor
    shift: Tensor
    luma: Tensor

    def __init__(self, original: Preprocess) -> None:
        super().__init__()
        self.settings = original.settings
        std = original.std.double()
        self.register_buffer("scale", (1 / std).to(original.std), persistent=False)
        self.register_buffer("pixel_scale", (1 / (255 * std)).to(original.std), persistent=False)
        shift = -original.mean.double() / std
        self.register_buffer("shift", shift.to(original.std), persistent=False)
        self.register_buffer("luma", original.luma, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, S, S] uint8 or float in [0, 1] to [N, channels, size, size], normalised."""
        scale = self.pixel_scale if image.dtype == torch.uint8 else self.scale
        x = image.to(self.shift.dtype)
        if self.settings.channels == 1:
            x = (x * self.luma).sum(1, keepdim=True)
        side = self.settings.size
        if side is not None and side != x.shape[-1]:
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
        return torch.addcmul(self.shift, x, scale)


def remove_idle(network: fx.GraphModule) -> None:
    """Take out of the graph what gives back what it is given: identity and dropout.

    Clones stay: they are where something later overwrites what was cloned.
    """
    for node in list(network.graph.nodes):
        module = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        if not _is_idle(node, module):
            continue
        node.replace_all_uses_with(node.all_input_nodes[0])
        network.graph.erase_node(node)
    network.graph.lint()
    network.recompile()


def _is_idle(node: fx.Node, module: nn.Module | None) -> bool:
    if len(node.all_input_nodes) != 1 or (module is not None and module.training):
        return False
    is_path_drop = type(module).__name__ == "DropPath" and type(module).__module__[:5] == "timm."
    return isinstance(module, _IDLE) or is_path_drop


def fold_preprocessing(network: fx.GraphModule) -> None:
    """Put `FoldedPreprocess` in place of every `Preprocess`."""
    _put(network, Preprocess, FoldedPreprocess, "normalised")


def lay_out_kernels(network: fx.GraphModule, layout: torch.memory_format) -> None:
    """Lay out the kernels of convolutions as the maps that they read, in copies of the layers."""

    def laid_out(conv: nn.Conv2d) -> nn.Conv2d:
        twin = copy.copy(conv)
        twin._parameters = dict(conv._parameters)
        kernel = conv.weight.detach().contiguous(memory_format=layout)
        twin.weight = nn.Parameter(kernel, requires_grad=False)
        return twin

    _put(network, nn.Conv2d, laid_out, "laid_out")


def _put(
    network: fx.GraphModule, kind: type[nn.Module], made: Callable[[Any], nn.Module], name: str
) -> None:
    """Let nodes that call modules of a kind call what is made of those, under new names.

    Modules keep their own: parents may be shared with the graph that this one was copied from.
    """
    names: dict[str, str] = {}
    for node in network.graph.find_nodes(op="call_module"):
        path = str(node.target)
        if path not in names and type(module := network.get_submodule(path)) is kind:
            names[path] = f"{name}_{len(names)}"
            network.add_submodule(names[path], made(module))
        node.target = names.get(path, path)
    network.recompile()
