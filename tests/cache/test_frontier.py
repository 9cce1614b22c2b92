"""The cut is the cheapest there is, and lies where people would put it."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from helpers_cache import images_of
from helpers_frontier import SIZE, cut_of, held
from torch import Tensor, fx, nn

from convgraft.cache.cut import Problem
from convgraft.cache.frontier import Frontier, Refusal, find_frontier, frontier_or_reason
from convgraft.cache.split import front_of, rest_of
from convgraft.cache.values import cut_values
from convgraft.compose import Composite
from convgraft.sources import source
from convgraft.strategies import StrategyOptions
from convgraft.training import PRESETS, Rule, one_phase
from helpers import small

NEVER = float("inf")
HEADS = PRESETS["heads-only"]


def drawn(seed: int) -> Problem:
    """A random problem of up to nine nodes; the image, first, can be stored and is not computed."""
    dice = random.Random(seed)
    graph = fx.Graph()
    nodes = [graph.placeholder("image")]
    reads: dict[fx.Node, tuple[fx.Node, ...]] = {nodes[0]: ()}
    for _ in range(dice.randint(1, 8)):
        node = graph.call_function(torch.relu, (nodes[0],))
        reads[node] = tuple(dice.sample(nodes, min(len(nodes), dice.randint(1, 3))))
        nodes.append(node)
    stored = {n: dice.randint(1, 6) for n in nodes if n is nodes[0] or dice.random() < 0.75}
    work = {n: dice.randint(1, 6) for n in nodes[1:] if n not in stored or dice.random() < 0.8}
    wanted = tuple(node for node in nodes if node is nodes[-1] or dice.random() < 0.2)
    return Problem(stored, work, reads, wanted)


def cost(problem: Problem, again: frozenset[fx.Node]) -> float:
    """Of computing some nodes in every step, and storing what these, and what learns, read."""
    read = {one for node in again for one in problem.reads[node]} | set(problem.wanted)
    stored = read - again
    return sum(problem.work.get(n, NEVER) for n in again) + sum(
        problem.bytes.get(n, NEVER) for n in stored
    )


def choices(problem: Problem) -> list[frozenset[fx.Node]]:
    """All sets of nodes that may be computed in every step."""
    nodes = list(problem.reads)
    sizes = range(len(nodes) + 1)
    return [frozenset(c) for size in sizes for c in itertools.combinations(nodes, size)]


@pytest.mark.parametrize("seed", range(60))
def test_the_cut_is_the_cheapest_of_all(seed: int) -> None:
    problem = drawn(seed)
    costs = {again: cost(problem, again) for again in choices(problem)}
    least = min(costs.values())
    stored = set(problem.solve())
    again: set[fx.Node] = set()
    waiting = [node for node in problem.wanted if node not in stored]
    while waiting:
        node = waiting.pop()
        again.add(node)
        waiting += [n for n in problem.reads[node] if n not in stored and n not in again]
    assert cost(problem, frozenset(again)) == least < NEVER
    # of equally cheap ones, that which computes least in every step
    best = [chosen for chosen, price in costs.items() if price == least]
    assert again == min(best, key=len)


def names(frontier: Frontier) -> list[str]:
    return [str(node.target) for node in frontier.once]


def test_heads_that_pool_store_pooled_features_alone() -> None:
    found = cut_of(held({"a": small(0), "b": small(1)}))
    assert [found.shapes[node] for node in found.stored] == [(64,), (64,)]
    assert (found.bytes, found.reads_image) == (2 * 64 * 4, False)
    assert not any("sources" in str(node.target) for node in found.again)
    whole = sum(found.run.macs.values())
    assert found.macs_once + found.macs_again == whole
    assert found.macs_once > 0.99 * whole


def test_nothing_frozen_is_no_cut() -> None:
    reason = frontier_or_reason(held({"a": small(0)}, "probe", PRESETS["all"]))
    assert isinstance(reason, Refusal)
    assert reason.reason


def test_a_frozen_first_layer_is_not_worth_its_bytes() -> None:
    policy = one_phase("mine", Rule("**", 1.0), Rule("a:conv1", 0.0))
    assert find_frontier(held({"a": small(0)}, "probe", policy)) is None


def test_all_frozen_but_a_late_block() -> None:
    policy = one_phase("mine", Rule("a:**", 0.0), Rule("a:layer3.**", 1.0))
    found = cut_of(held({"a": small(0)}, "probe", policy))
    assert [found.shapes[node] for node in found.stored] == [(32, 16, 16)]
    assert not found.reads_image
    again = {str(node.target) for node in found.again}
    assert not any("layer2" in name or "layer1" in name for name in again)
    assert any("layer3" in name for name in again)
    assert not any("layer3" in name for name in names(found))


def test_one_frozen_source_and_one_that_learns() -> None:
    policy = one_phase("mine", Rule("**", 1.0), Rule("a:**", 0.0))
    found = cut_of(held({"a": small(0), "b": small(1)}, policy=policy))
    assert found.reads_image
    assert [found.shapes[node] for node in found.stored] == [(64,)]
    assert all(node.op != "placeholder" for node in found.stored)
    assert same_answers(found)


def test_a_batch_norm_that_keeps_its_statistics_and_learns_is_not_frozen() -> None:
    policy = one_phase("mine", Rule("**", 0.0), Rule("a:layer2.0.bn1", 1.0, statistics=False))
    found = cut_of(held({"a": small(0), "b": small(1)}, policy=policy))
    once = names(found)
    assert "sources.a.layer2.0.conv1" in once
    assert not any("a.layer2.0.bn1" in name for name in once)
    assert any(name.startswith("sources.b.layer3") for name in once)
    assert find_frontier(found.held, at_rest=True).bytes == 2 * 64 * 4  # type: ignore[union-attr]


@pytest.mark.parametrize("room", [100, 511, 0])
def test_without_room_nothing_is_stored(room: int) -> None:
    network = held({"a": small(0), "b": small(1)})
    assert find_frontier(network, 512) is not None
    reason = frontier_or_reason(network, room)
    assert isinstance(reason, Refusal)
    assert f"{room:,} bytes" in reason.reason


def test_with_less_room_the_cut_is_coarser() -> None:
    policy = one_phase("mine", Rule("**", 0.0), Rule("a:layer3.**", 1.0))
    network = held({"a": small(0), "b": small(1)}, policy=policy)
    full = cut_of(network)
    less = find_frontier(network, full.bytes - 1)
    assert less is not None
    assert less.bytes < full.bytes
    assert less.macs_once < full.macs_once
    assert same_answers(less)


def values(frontier: Frontier, pixels: Tensor) -> tuple[Tensor, ...]:
    """What the rest is given for some images."""
    front = front_of(frontier, cut_values(frontier))
    return (*front(pixels), pixels) if frontier.reads_image else front(pixels)


@torch.inference_mode()
def same_answers(frontier: Frontier) -> bool:
    """Whether the two parts one after the other answer as the whole, bit for bit."""
    pixels = images_of(4, SIZE)
    whole, rest = frontier.held.eval(), rest_of(frontier).eval()
    expected = whole(pixels)
    found = rest(*values(frontier, pixels))
    return all(torch.equal(found[name], expected[name]) for name in expected)


class InPlace(nn.Module):
    """Writes over what it reads, and reads that before and after, as old Xceptions do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 4), nn.Conv2d(8, 8, 3)
        self.relu, self.skip = nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        early = x.mean((2, 3))
        y = self.second(self.relu(x))
        y = y + self.skip(x)  # after the ReLU has written over it
        return self.fc(self.pool(torch.relu(y)).flatten(1) + early)


IN_PLACE = source(InPlace(), size=SIZE)


def in_place_cases() -> list[Composite]:
    return [
        held({"a": IN_PLACE}, "probe"),
        held({"a": IN_PLACE, "b": small(0)}, "ladder", options=StrategyOptions(head="side")),
        held({"a": IN_PLACE, "b": IN_PLACE}),
    ]


@pytest.mark.parametrize("number", range(3))
def test_overwritten_values_are_not_stored(number: int) -> None:
    network = in_place_cases()[number]
    found = cut_of(network)
    overwritten = found.run.mutators()
    assert overwritten
    assert not [node for node in found.stored if node.name in overwritten]
    assert same_answers(found)


def test_what_reads_an_overwritten_value_needs_who_overwrote_it() -> None:
    """Alone, the skip of that network is right only if its ReLU runs before it."""
    network = held({"a": IN_PLACE}, "probe", one_phase("mine", Rule("**", 0.0)))
    found = cut_of(network)
    skip = next(n for n in found.graph.nodes if n.target == "sources.a.skip")
    alone = Frontier(network, found.graph, found.steady, (skip,), False, found.shapes, found.run)
    pixels = images_of(4, SIZE)
    first, skip_layer = (network.get_submodule(f"sources.a.{name}") for name in ("first", "skip"))
    relu = torch.relu(first(network.get_submodule("preprocess.a")(pixels)))
    (value,) = front_of(alone, cut_values(alone))(pixels)
    assert torch.equal(value, skip_layer(relu))


class ReadBefore(nn.Module):
    """What learns reads a value, and then what is frozen writes over it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.early = nn.Conv2d(3, 8, 3, 4), nn.Conv2d(8, 8, 3)
        self.relu, self.second = nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3)
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        early = self.early(x).mean((2, 3))
        return self.fc(torch.relu(self.second(self.relu(x))).mean((2, 3)) + early)


class ReadAfter(nn.Module):
    """What learns reads a value that something frozen, and dear, has written over."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.early = nn.Conv2d(3, 8, 3, 4), nn.Conv2d(8, 8, 3)
        self.wide, self.narrow = nn.Conv2d(8, 64, 3, padding=1), nn.Conv2d(64, 8, 3, padding=1)
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y = x.add_(self.narrow(torch.relu(self.wide(x))))
        return self.fc(torch.relu(y * 2).mean((2, 3)) + self.early(x).mean((2, 3)))


@pytest.mark.parametrize(("kind", "reads_image"), [(ReadBefore, True), (ReadAfter, False)])
def test_what_learns_and_what_is_frozen_share_an_overwritten_value(
    kind: type[nn.Module], reads_image: bool
) -> None:
    policy = one_phase("mine", Rule("**", 0.0), Rule("a:early", 1.0), Rule("heads"))
    found = cut_of(held({"a": source(kind(), size=SIZE)}, "probe", policy))
    assert found.reads_image is reads_image
    assert same_answers(found)
