"""Least squares, similarity and votes on numbers that do not vary, or are too large."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from number_fits import CLASSES, SIZE, finite, make_task
from safetensors.torch import save_file
from torch import Tensor

from convgraft.compose import Composite, compose
from convgraft.errors import ConvgraftError, RunError, SourceError
from convgraft.layers import HEADS
from convgraft.layers.fitted_votes import CascadeHead, GreedyHead, StackHead, WeightedHead
from convgraft.layers.votes import VOTE_KINDS
from convgraft.match import PairMoments, debiased_cka, match_taps, pair_by_likeness, solve_ridge
from convgraft.sources import Source, source
from convgraft.training import measure, start_adapters, start_heads
from convgraft.training.mixtures import greedy_counts, safe_weights
from convgraft.training.stacking import fit_stack
from convgraft.training.thresholds import choose_thresholds
from convgraft.zoo.networks import CifarResNet
from helpers import Tiny, head, images, plan_for, wire

BLANK = torch.zeros(40, 3, SIZE, SIZE, dtype=torch.uint8)
HUGE = 1e30


def tiny(given: random.Random, *, dead: bool = False, infinite: bool = False) -> Source:
    """A tiny network; a dead one's ReLU gives zeros alone, an infinite one overflows after it."""
    network = Tiny(seed=given.randrange(99))
    with torch.no_grad():
        if dead:
            network.bn.bias.fill_(-1e3)
            network.bn.weight.mul_(given.choice((0.0, 1.0)))
        if infinite:
            network.bn.weight.fill_(3e38)
            network.conv2.weight.fill_(10.0)
    return source(network, size=SIZE)


def pictures(given: random.Random) -> Tensor:
    """Noise, or images that are all alike, uint8 [40, 3, S, S]."""
    noise = (images(SIZE, 40, seed=given.randrange(99)) * 255).to(torch.uint8)
    return given.choice((noise, BLANK, noise[:1].expand(40, -1, -1, -1)))


def dead_adapters(given: random.Random, folder: Path) -> Iterator[str]:
    """Least squares from and to taps that do not vary."""
    dead = given.choice(((True, False), (False, True), (True, True)))
    sources = {name: tiny(given, dead=one) for name, one in zip("ab", dead, strict=True)}
    adapter, ends = given.choice(("ridge", "ridge3x3")), given.choice(("relu", "conv2"))
    drawn = wire(f"a:{ends} -> b:{ends}", "replace", adapter, "one")
    network = compose(plan_for(sources, wires=[drawn], size=SIZE), sources)
    start_adapters(network, pictures(given))
    if not finite(network):
        yield f"{adapter} from {ends} of a dead network is not finite"


def dead_heads(given: random.Random, folder: Path) -> Iterator[str]:
    """A ridge head on taps that do not vary answers what the labels alone say."""
    task, sources = make_task(folder, given), {"a": tiny(given, dead=True)}
    heads = [head("label", "ridge", "a:relu", "a:pool", classes=CLASSES)]
    network = compose(plan_for(sources, heads=heads, size=SIZE), sources)
    start_heads(network, task.pixels("train"))
    if not finite(network):
        yield "a ridge head on dead taps is not finite"


def infinite_taps(given: random.Random, folder: Path) -> Iterator[str]:
    """What solves on numbers that are infinite says so, and does not end in a traceback."""
    task = make_task(folder, given)
    sources = {"a": tiny(given, infinite=True), "b": tiny(given)}
    heads = [head("label", "ridge", "a:pool", classes=CLASSES)]
    solved = compose(plan_for(sources, heads=heads, size=SIZE), sources)
    drawn = [wire("a:conv2 -> b:conv2", "replace", "ridge", "one")]
    wired = compose(plan_for(sources, wires=drawn, size=SIZE), sources)
    pixels = task.pixels("train")
    yield from _refused("a ridge head", lambda: start_heads(solved, pixels))
    yield from _refused("a ridge adapter", lambda: start_adapters(wired, pixels.images))
    yield from _refused("matching", lambda: _matched(sources["a"], sources["b"], pixels.images))


def _refused(what: str, work: Callable[[], object]) -> Iterator[str]:
    try:
        work()
        yield f"{what} took infinite numbers"
    except RunError as error:
        if "finite" not in str(error):
            yield f"{what}: {error}"


def _matched(left: Source, right: Source, pixels: Tensor) -> object:
    taps = [one.survey(SIZE).taps for one in (left, right)]
    return match_taps(left, right, pixels, *taps, image_size=SIZE)


def dead_matching(given: random.Random, folder: Path) -> Iterator[str]:
    """Layers that do not vary are like none; they are never paired by likeness."""
    left, right = tiny(given, dead=True), tiny(given)
    taps = [one.survey(SIZE).taps for one in (left, right)]
    chosen = pictures(given)
    matching = match_taps(left, right, chosen, *taps, image_size=SIZE)
    still = [number for number, tap in enumerate(taps[0]) if tap.name == "relu"]
    for row in still:
        if matching.cka[row].isfinite().any():
            yield f"a dead layer has a likeness: {matching.cka[row].tolist()}"
    for tables in (matching.forward_error, matching.backward_error):
        if not tables.isfinite().all():
            yield "an error of a linear map is not finite"
    for pair in pair_by_likeness(matching):
        if not math.isfinite(pair.cka) or pair.left.name == "relu":
            yield f"{pair.left.name} is paired with {pair.right.name}, CKA {pair.cka}"
    for row, tap in enumerate(taps[0]):
        ridge = matching.adapter(row, 0)
        if not (ridge.weight.isfinite().all() and ridge.bias.isfinite().all()):
            yield f"the map from {tap.name} is not finite"


def still_moments(given: random.Random, folder: Path) -> Iterator[str]:
    """CKA and ridge maps of rows that do not vary, repeat, or differ by 1e15 in scale."""
    drawn = torch.Generator().manual_seed(given.randrange(99))
    noise = torch.randn(30, 4, generator=drawn)
    kinds = {
        "zeros": torch.zeros(30, 4), "ones": torch.ones(30, 4), "one row": noise[:1].expand(30, -1),
        "repeated": noise[:, :1].expand(-1, 4), "noise": noise, "large": noise * 1e15,
        "small": noise * 1e-15, "far": noise * 1e-3 + 1e4,
    }  # fmt: skip
    for (name, x), (other, y) in pairwise(given.sample([*kinds.items()], 5)):
        pair = PairMoments.of(x, y)
        ridge, cka = solve_ridge(pair), debiased_cka(pair)
        if not (ridge.weight.isfinite().all() and ridge.bias.isfinite().all()):
            yield f"the map from {name} to {other} is not finite"
        if math.isinf(cka) or (not math.isnan(cka) and abs(cka) > 1.5):
            yield f"CKA of {name} and {other} is {cka}"


def answers(given: random.Random, members: int, classes: int) -> list[Tensor]:
    """Logits [20, classes] of members: huge, equal, or plain."""
    drawn = torch.Generator().manual_seed(given.randrange(99))
    kinds = (
        lambda: torch.randn(20, classes, generator=drawn),
        lambda: torch.randn(20, classes, generator=drawn) * HUGE,
        lambda: torch.zeros(20, classes),
        lambda: torch.full((20, classes), HUGE),
        lambda: torch.eye(classes)[torch.randint(0, classes, (20,), generator=drawn)] * HUGE,
        lambda: torch.randn(20, classes, generator=drawn).round(),
    )
    return [given.choice(kinds)() for _ in range(members)]


def extreme_votes(given: random.Random, folder: Path) -> Iterator[str]:
    """Votes on logits of 1e30 and on ties: log-probabilities, fitted or not."""
    members, classes = given.randint(1, 4), given.randint(2, 5)
    logits = answers(given, members, classes)
    labels = torch.randint(0, classes, (20,), generator=torch.Generator().manual_seed(1))
    for kind in VOTE_KINDS:
        vote = HEADS[kind].build([(classes,)] * members, classes, (), 0.0, "concat")
        yield from _are_logs(kind, vote(*logits))
        fit_vote(vote, logits, labels)
        yield from _are_logs(f"fitted {kind}", vote(*logits))
    for one in logits:
        found = measure(one, labels)
        if math.isnan(found.nll) or not 0 <= found.ece <= 1:
            yield f"measured {found}"


def fit_vote(vote: object, logits: Sequence[Tensor], labels: Tensor) -> None:
    """Fit a vote's numbers, as `fit_votes` does."""
    logs = torch.stack([x.log_softmax(1) for x in logits])
    if isinstance(vote, WeightedHead):
        vote.weights.copy_(safe_weights(logs, labels))
    elif isinstance(vote, GreedyHead):
        vote.counts.copy_(greedy_counts(logs, labels))
    elif isinstance(vote, StackHead):
        stack = fit_stack(vote.features(*logits), labels, vote.weight, vote.bias, 0)
        vote.weight.copy_(stack.weight)
        vote.bias.copy_(stack.bias)
    elif isinstance(vote, CascadeHead):
        found = choose_thresholds(logs, labels, range(1, len(logits) + 1))
        vote.thresholds.copy_(torch.tensor(found.thresholds))


def _are_logs(what: str, logs: Tensor) -> Iterator[str]:
    """Whether these are logarithms of probabilities, a class at zero allowed."""
    sums = logs.exp().sum(1)
    if logs.isnan().any() or not torch.allclose(sums, torch.ones(len(sums)), atol=1e-4):
        yield f"{what} gives probabilities that sum to {sums.min().item()}..{sums.max().item()}"


def weights_file(given: random.Random, folder: Path) -> Iterator[str]:
    """A file of weights with a NaN or an infinity: refused, and the tensor named."""
    network = CifarResNet(20, 10)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    name = given.choice([name for name, tensor in state.items() if tensor.is_floating_point()])
    tensor = state[name].view(-1)
    tensor[given.randrange(len(tensor))] = given.choice((math.nan, math.inf, -math.inf))
    save_file(state, folder / "w.safetensors")
    try:
        opened = source(f"cifar_resnet20@{folder / 'w.safetensors'}", load=False)
        made: Composite = compose(plan_for({"a": opened}), {"a": opened})
        yield f"{name} is not finite and taken; {len(made.state_dict())} tensors"
    except SourceError as error:
        if name not in str(error):
            yield f"{name} is not named: {error}"
    except ConvgraftError as error:
        yield f"{name}: {error}"
