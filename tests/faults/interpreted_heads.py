"""Heads and votes as the documentation words them, in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from interpreted_layers import Weights
from torch import Tensor

from convgraft.plan import Head

TINY, LEAST_LOG = 1e-30, -30.0
LARGEST_VARIANCE = 256
LARGEST_RANK = 512


def answer(head: Head, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    """What a head makes of its inputs; its dropout is off."""
    own = weights.at(f"heads.{head.name}")
    if head.kind in ("identity", "tap"):
        return inputs[0]
    if head.kind == "side":
        return _side(own, inputs)
    if head.kind in ("linear", "ridge", "mlp"):
        return _classified(head, own, inputs)
    return VOTES[head.kind](own, [x.log_softmax(1) for x in inputs], inputs)


def _pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3)) if x.dim() == 4 else x


def _dense(layer: Weights, x: Tensor) -> Tensor:
    return x @ layer["weight"].T + layer["bias"]


def _classified(head: Head, own: Weights, inputs: Sequence[Tensor]) -> Tensor:
    if head.fusion == "bilinear":
        x = _bilinear(own, inputs)
    else:
        pooled = [_pooled(value) for value in inputs]
        both = own.at("norm").standardised(torch.cat(pooled, 1))
        x = _fused(head.fusion, own.at("mix"), both, [value.shape[1] for value in pooled])
    x = x * min(1.0, (LARGEST_VARIANCE / x.shape[1]) ** 0.5)
    for number in range(len(head.hidden)):
        x = _dense(own.at(f"layers.dense{number}"), x).clamp(min=0)
    return _dense(own.at("classifier"), x)


def _fused(fusion: str, mix: Weights, both: Tensor, widths: Sequence[int]) -> Tensor:
    if fusion == "concat":
        return both
    if fusion == "se":
        shares = _dense(mix.at("excite"), _dense(mix.at("squeeze"), both).clamp(min=0))
        return both * torch.sigmoid(shares)
    parts = both.split(list(widths), 1)
    branches = [_dense(mix.at(f"project.layers.{n}"), part) for n, part in enumerate(parts)]
    if fusion in ("sum", "mean"):
        return sum(branches, torch.zeros(())) / (len(branches) if fusion == "mean" else 1)
    scores = [
        torch.tanh(_dense(mix.at("hidden"), branch)) @ mix["score.weight"].T for branch in branches
    ]
    shares = torch.softmax(torch.cat(scores, 1), 1)
    return sum((shares[:, n, None] * x for n, x in enumerate(branches)), torch.zeros(()))


def _bilinear(own: Weights, inputs: Sequence[Tensor]) -> Tensor:
    """Products of projected branches at each position of the smallest map, averaged."""
    maps = [x for x in inputs if x.dim() == 4]
    size = [min(x.shape[place] for x in maps) if maps else 1 for place in (2, 3)]
    product = torch.ones(())
    for number, x in enumerate(inputs):
        x = own.at(f"norm.{number}").standardised(x)
        x = x[:, :, None, None] if x.dim() == 2 else F.adaptive_avg_pool2d(x, size)
        layer = own.at(f"mix.steps.{number}.1")
        product = product * F.conv2d(x, layer["weight"], layer["bias"])
    mean = product.mean((2, 3))
    root = mean / (mean.abs() + 1e-5).sqrt()
    return root / (root.square().mean(1, keepdim=True) + 1e-5).sqrt()


def _side(own: Weights, inputs: Sequence[Tensor]) -> Tensor:
    """A ladder that climbs from tap to tap."""
    climbed = torch.zeros(())
    for number, value in enumerate(inputs):
        x = own.at(f"norms.{number}").standardised(_pooled(value))
        rung = _dense(own.at(f"projections.{number}"), x)
        if number:
            share = torch.sigmoid(own["alphas"][number - 1])
            rung = share * climbed + (1 - share) * rung
        climbed = rung + _side_block(own.at(f"blocks.{number}.layers"), rung)
    return _dense(own.at("classifier"), climbed)


def _side_block(layers: Weights, x: Tensor) -> Tensor:
    norm = layers.at("0")
    centred = x - x.mean(1, keepdim=True)
    even = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    inner = _dense(layers.at("1"), even * norm["weight"] + norm["bias"])
    return _dense(layers.at("3"), F.gelu(inner))


Logs = Sequence[Tensor]


def _average(own: Weights | None, logs: Logs, raw: Sequence[Tensor]) -> Tensor:
    return _mixture(logs, torch.full((len(logs),), 1 / len(logs), dtype=logs[0].dtype))


def _mixture(logs: Logs, shares: Tensor) -> Tensor:
    """log(sum of share times probability)."""
    weighed = torch.stack([x + w.clamp(min=TINY).log() for x, w in zip(logs, shares, strict=True)])
    return torch.logsumexp(weighed, 0)


def _logits(own: Weights, logs: Logs, raw: Sequence[Tensor]) -> Tensor:
    return (sum(raw, torch.zeros(())) / len(raw)).log_softmax(1)


def _counted(raw: Sequence[Tensor]) -> Tensor:
    """Votes [N, classes] of all members, each for its first largest logit."""
    votes = torch.zeros_like(raw[0])
    for x in raw:
        votes[torch.arange(len(x)), x.detach().argmax(1)] += 1
    return votes


def _plurality(own: Weights, logs: Logs, raw: Sequence[Tensor]) -> Tensor:
    votes, average = _counted(raw), _average(own, logs, raw)
    parts = torch.stack([votes.clamp(min=TINY).log(), average])
    return torch.logsumexp(parts, 0) - torch.tensor(float(len(raw) + 1)).to(average).log()


def _hard(own: Weights, logs: Logs, raw: Sequence[Tensor]) -> Tensor:
    rows = zip(_counted(raw), _plurality(own, logs, raw), _average(own, logs, raw), strict=True)
    return torch.stack([
        shares if votes.max() > len(raw) / 2 else mean for votes, shares, mean in rows
    ])  # fmt: skip


def _weighted(own: Weights, logs: Logs, raw: Sequence[Tensor]) -> Tensor:
    return _mixture(logs, own["weights"])


def _greedy(own: Weights, logs: Logs, raw: Sequence[Tensor]) -> Tensor:
    return _mixture(logs, own["counts"] / own["counts"].sum())


def _stack(own: Weights, logs: Logs, raw: Sequence[Tensor]) -> Tensor:
    return _dense(own, torch.cat([*logs], 1).clamp(min=LEAST_LOG)).log_softmax(1)


def _cascade(own: Weights, logs: Logs, raw: Sequence[Tensor]) -> Tensor:
    """Of each image the answer of the first member that is sure."""
    rows = []
    thresholds = own["thresholds"].tolist()
    for image in range(len(raw[0])):
        sure = [n for n, t in enumerate(thresholds) if logs[n][image].max().exp().item() >= t]
        rows.append(logs[sure[0] if sure else -1][image])
    return torch.stack(rows)


VOTES: Mapping[str, Callable[[Weights, Logs, Sequence[Tensor]], Tensor]] = {
    "average": _average,
    "logits": _logits,
    "hard": _hard,
    "plurality": _plurality,
    "weighted": _weighted,
    "greedy": _greedy,
    "stack": _stack,
    "cascade": _cascade,
}
