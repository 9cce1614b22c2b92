"""How many networks are captured, and whether their graphs compute the same, bit for bit.

Taken are every classifier of torchvision and one network of each timm family, with fresh weights.
For each, both graphs of `convgraft.sources.capture.capture` are run against the network itself: in
training and in evaluation mode, from equal buffers, with an equally seeded generator, on a batch of
two noise images of 96x96 (of the network's own size where it takes no other). Compared are the
bits of every tensor that comes out, and of every buffer afterwards, batch norm statistics included.

A timm family is a module of `timm.models`; its network is the one with the fewest weights among
twelve whose names are spread evenly over the family's list (those made for timm's own tests left
out). Networks above 60 M weights are captured without weights and not run; `--limit` moves that.

A network counts as captured when both graphs could be made and, where compared, are equal. `ratio`
is the smaller of the two captured shares. `cases` are the networks that were refused, hold opaque
parts, differ, or were not compared, with the reason.

    python benchmarks/capture.py
    python benchmarks/capture.py --only inception --limit 200
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import timm
import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves
from torchvision import models

from convgraft.errors import ConvgraftError
from convgraft.sources.capture import Capture, capture

SMALL, BATCH = 96, 2
CANDIDATES = 12
GOAL = 97 / 98


@dataclass(frozen=True)
class Case:
    """One network and what became of it; `equal` is None where it was not compared."""

    library: str
    family: str
    network: str
    parameters: int = 0
    captured: bool = False
    opaque: tuple[str, ...] = ()
    equal: bool | None = None
    size: int | None = None
    reason: str = ""

    @property
    def clean(self) -> bool:
        """Whether there is nothing to tell about it."""
        return self.captured and not self.opaque and self.equal is True


def main() -> None:
    """Capture and compare every network; one line each on stderr, one JSON line at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--limit", type=float, default=60, help="compare up to so many M weights")
    parser.add_argument("--only", default="", help="only families whose name contains this")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)  # small layers on a shared machine: threads wait more than they work
    cases = []
    for library, family, names in _families(options.only):
        started = time.perf_counter()
        case = _measure(Case(library, family, _smallest(names)), options.limit * 1e6)
        cases.append(case)
        print(_row(case, time.perf_counter() - started), file=sys.stderr, flush=True)
        gc.collect()
    _print_result(cases)


def _families(only: str) -> Iterator[tuple[str, str, list[str]]]:
    for name in models.list_models(module=models):
        if only in name:
            yield "torchvision", name, [name]
    for module in timm.list_modules():
        if only in module:
            yield "timm", module, timm.list_models(module=module, exclude_filters="test_*")


def _smallest(names: list[str]) -> str:
    """The network with the fewest weights among a few, evenly spread over the names."""
    if len(names) <= 1:
        return names[0]
    count = min(CANDIDATES, len(names))
    chosen = [names[index * (len(names) - 1) // (count - 1)] for index in range(count)]
    return min(chosen, key=lambda name: _parameters(_sketch("timm", name)))


def _sketch(library: str, name: str) -> nn.Module:
    """The network without weights, where it can be built so; a few compute while they build."""
    try:
        return _build(library, name, "meta")
    except NotImplementedError:
        return _build(library, name, "cpu")


def _build(library: str, name: str, device: str) -> nn.Module:
    with torch.device(device):
        torch.manual_seed(0)
        if library == "timm":
            return timm.create_model(name)
        options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        return models.get_model(name, weights=None, **options)


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _own_size(library: str, network: nn.Module, name: str) -> int:
    if library == "timm":
        config: Any = network.pretrained_cfg
        return config["input_size"][-1]
    return models.get_model_weights(name)["DEFAULT"].transforms().crop_size[0]


def _measure(case: Case, limit: float) -> Case:
    network = _sketch(case.library, case.network)
    case = replace(case, parameters=_parameters(network))
    small = case.parameters <= limit
    if small:
        network = _build(case.library, case.network, "cpu")
    try:
        found = capture(network, name=case.network)
    except ConvgraftError as error:
        return replace(case, reason=" ".join(str(error).split()))
    case = replace(case, captured=True, opaque=found.opaque)
    if not small:
        return replace(case, reason=f"not compared: more than {limit / 1e6:g} M weights")
    sizes = (SMALL, _own_size(case.library, network, case.network))
    return _compare(case, network, found, sizes)


def _compare(case: Case, network: nn.Module, found: Capture, sizes: tuple[int, ...]) -> Case:
    """Both modes at the first of `sizes` that the network itself takes in both."""
    problem = ""
    for size in sizes:
        image = torch.randn(BATCH, 3, size, size, generator=torch.Generator().manual_seed(1))
        try:
            own = {mode: _run(network, network, image, mode) for mode in (True, False)}
        except Exception as error:
            problem = f"not compared: it fails itself at {size} pixels: {error}".splitlines()[0]
            continue
        told = [_difference(network, found, image, mode, own[mode]) for mode in (True, False)]
        reason = "; ".join(filter(None, told))
        return replace(case, size=size, equal=not reason, reason=reason)
    return replace(case, reason=problem)


def _difference(
    network: nn.Module, found: Capture, image: Tensor, training: bool, own: list[Tensor]
) -> str:
    """What is wrong with the graph of one mode; empty where its tensors are the network's own."""
    mode = "training" if training else "evaluation"
    graph = fx.GraphModule(network, found.graph(training).fx)
    try:
        ours = _run(graph, network, image, training)
    except Exception as error:
        return f"the {mode} graph fails: {error}".splitlines()[0]
    if len(own) == len(ours) and all(map(_same_bits, own, ours)):
        return ""
    again = _run(network, network, image, training)
    repeats = all(map(_same_bits, own, again))
    return f"{mode} differs" if repeats else f"{mode} differs, and the network from itself"


@torch.no_grad()
def _run(called: nn.Module, network: nn.Module, image: Tensor, training: bool) -> list[Tensor]:
    """All tensors that `called` returns and all buffers afterwards; `network` is left as it was."""
    before = [
        (part, name, buffer, buffer.clone())
        for part in network.modules()
        for name, buffer in part.named_buffers(recurse=False)
    ]
    network.train(training)
    called.train(training)
    torch.manual_seed(0)
    try:
        outputs = [leaf for leaf in tree_leaves(called(image.clone())) if isinstance(leaf, Tensor)]
        return outputs + [buffer.clone() for buffer in network.buffers()]
    finally:
        for part, name, buffer, value in before:
            setattr(part, name, buffer.copy_(value))  # some networks put a new tensor in its place


def _same_bits(one: Tensor, other: Tensor) -> bool:
    """As `torch.equal`, but NaN equals NaN and 0.0 is not -0.0."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    bits = (tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other))
    return torch.equal(*bits)


def _row(case: Case, seconds: float) -> str:
    verdict = {True: "equal", False: "DIFFERS", None: "-"}[case.equal]
    state = "captured" if case.captured else "REFUSED"
    opaque = f"{len(case.opaque)} opaque " if case.opaque else ""
    return (
        f"{case.library:11} {case.family:24} {case.network:34} {case.parameters / 1e6:7.1f} M "
        f"{state:8} {verdict:7} {case.size or '-':>4} {seconds:5.1f} s  {opaque}{case.reason}"
    )


def _print_result(cases: list[Case]) -> None:
    counts: dict[str, int] = {}
    for library in ("torchvision", "timm"):
        own = [case for case in cases if case.library == library]
        counts[f"captured_{library}"] = sum(c.captured and c.equal is not False for c in own)
        counts[f"total_{library}"] = len(own)
    compared = [case for case in cases if case.equal is not None]
    counts |= {"bit_equal": sum(bool(c.equal) for c in compared), "compared": len(compared)}
    libraries = [library for library in ("torchvision", "timm") if counts[f"total_{library}"]]
    for library in libraries:
        print(f"{library} {counts[f'captured_{library}']}/{counts[f'total_{library}']}")
    shares = [counts[f"captured_{library}"] / counts[f"total_{library}"] for library in libraries]
    told = [asdict(case) for case in cases if not case.clean]
    result = {"benchmark": "capture", "ratio": round(min(shares), 4), "goal": round(GOAL, 4)}
    print(json.dumps({**result, **counts, "cases": told}))


if __name__ == "__main__":
    main()
