"""Weights that are spread over ranks: the same fit as with whole ones, from less memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_ranks import SHARDED, fitted, odd_network, run_ranks, start_ranks
from test_ranks import EXACT, FROZEN, OPTIONS, TWO_LOSSES
from test_ranks import WORKS as OF_RANKS

from convgraft.errors import UsageError
from convgraft.training import FitOptions
from convgraft.training.shard_groups import PIECES, idle_modules, shard_groups
from convgraft.training.sharded import check_shardable

WORKS: dict[str, dict[str, Any]] = {
    "frozen sources": OF_RANKS["frozen sources"],
    "frozen sources in every step": {
        "design": FROZEN,
        "options": OPTIONS | {"views": 0, "epochs": 1, "augment": "digits"},
        "limit": 50,
    },
    "learning batch norm": OF_RANKS["learning batch norm"],
    "losses balanced by noise": {
        "design": TWO_LOSSES,
        "options": EXACT | {"epochs": 1},
        "limit": 50,
        "balance": "uncertainty",
    },
}
works = [("fitted", given) for given in WORKS.values()]
LEARNING = {
    "everything": ["**"],
    "one of two branches": ["a:right", "b:left"],
    "numbers": ["a:gain", "b:gamma"],
    "the first layer": ["a:stem"],
    "what is called twice": ["a:twice"],
}
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVGRAFT_CACHE", str(tmp_path_factory.mktemp("alone")))
        yield {name: fitted(**given) for name, given in WORKS.items()}


@pytest.fixture(scope="module", params=[2, 3], ids=["two ranks", "three ranks"])
def spread(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, dict[str, Any]]]:
    """What each rank came to, by piece of work."""
    folder = tmp_path_factory.mktemp("spread")
    found = run_ranks(request.param, works, folder / "told", folder / "store", **{SHARDED: "1"})
    return [dict(zip(WORKS, told, strict=True)) for told in found]


def assert_alike(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours["best"] == theirs["best"]
    for one, other in zip(ours["curve"], theirs["curve"], strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], abs=1e-4)
        for answer, score in other["val"].items():
            assert one["val"][answer] == pytest.approx(score, abs=1e-4)
    for name, value in theirs["weights"].items():
        torch.testing.assert_close(ours["weights"][name], value, rtol=1e-3, atol=1e-4)


@slow
@pytest.mark.parametrize("name", list(WORKS))
def test_it_ends_as_one_process_does_on_every_rank(
    name: str, alone: dict[str, dict[str, Any]], spread: list[dict[str, dict[str, Any]]]
) -> None:
    first = spread[0][name]
    for own in (rank[name] for rank in spread):
        assert_alike(own, alone[name])
        assert own["curve"] == first["curve"]
        for weight, value in first["weights"].items():
            assert torch.equal(own["weights"][weight], value), weight


@slow
def test_it_ends_as_ranks_with_whole_weights_do(tmp_path: Path) -> None:
    given = OF_RANKS["learning batch norm"] | {"known_labels": None}
    whole, cut = (
        run_ranks(2, [("fitted", given)], tmp_path / told, tmp_path / "store", **{SHARDED: told})
        for told in "01"
    )
    for (ours,), (theirs,) in zip(cut, whole, strict=True):
        for one, other in zip(ours["curve"], theirs["curve"], strict=True):
            assert one["train_loss"] == pytest.approx(other["train_loss"], abs=1e-10)
        for name, value in theirs["weights"].items():
            torch.testing.assert_close(ours["weights"][name], value, rtol=1e-6, atol=1e-7)


@slow
@pytest.mark.parametrize("world", [2, 3])
def test_a_step_is_that_of_the_whole_network(world: int, tmp_path: Path) -> None:
    steps = [("stepped", {"learning": learning}) for learning in LEARNING.values()]
    ranks = run_ranks(world, steps, tmp_path / "told", tmp_path / "store")
    for number, name in enumerate(LEARNING):
        network, freeze = odd_network(LEARNING[name])
        for own in (found[number] for found in ranks):
            for weight, value in own["twin"].items():
                torch.testing.assert_close(own["weights"][weight], value, rtol=0, atol=1e-12)
                if weight in freeze.rates:
                    moved = not torch.equal(own["weights"][weight], own["before"][weight])
                    assert moved == (freeze.rates[weight] > 0), weight
            assert own["numbers"] == sum(freeze.rates[f"sources.{one}.gain"] > 0 for one in "ab")
        every = sum(weight.numel() for weight in network.parameters() if weight.dim())
        assert {found[number]["all"] for found in ranks} == {every}
        assert sum(found[number]["own"] for found in ranks) == every
        assert max(found[number]["own"] for found in ranks) < 1.35 * every / world


@slow
@pytest.mark.parametrize(("before", "after", "then"), [("1", "0", 1), ("0", "1", 3), ("1", "1", 3)])
def test_any_fit_goes_on_from_its_checkpoint_and_it_from_theirs(
    before: str,
    after: str,
    then: int,
    alone: dict[str, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONVGRAFT_CACHE", str(tmp_path / "store"))
    given: dict[str, Any] = WORKS["frozen sources"] | {"checkpoint": str(tmp_path / "x.ckpt")}
    given["options"] = OPTIONS | {"checkpoint_minutes": 1e-9}
    work = [("fitted", given | {"die_after": 7})]  # of eight steps
    died = start_ranks(2, work, tmp_path / "died", tmp_path / "store", **{SHARDED: before})
    for process in died:
        process.join(500)
    assert [process.exitcode for process in died] == [1, 9]
    state = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert (state["convgraft"]["epoch"], state["convgraft"]["step"]) == (1, 2)
    moments = state["optimizer_states"][0]["state"]
    weights = {n: t for n, t in state["state_dict"].items() if ".classifier." in n}
    assert sorted(tuple(m["exp_avg"].shape) for m in moments.values()) == sorted(
        tuple(weight.shape) for weight in weights.values()
    )
    if then == 1:
        again = [[fitted(**given)]]
    else:
        told = {SHARDED: after}
        again = run_ranks(then, [("fitted", given)], tmp_path / "again", tmp_path / "store", **told)
    for (own,) in again:
        assert len(own["orders"]) == 2  # of eight batches, two that nobody had trained on
        assert_alike(own, alone["frozen sources"])


def test_weights_are_gathered_a_piece_of_a_network_at_a_time() -> None:
    network, _ = odd_network(["a:right", "b:**"])
    groups = shard_groups(network, network.plan.answers)
    paths = [path for group in groups for path in group]
    assert len(paths) == len(set(paths))
    own = {path.rpartition(".")[2] for path in paths if path.startswith("sources.a.")}
    assert own == {"stem", "left", "right", "past"}  # what is called twice is whole all the time
    for group in groups:
        assert len({path.partition(".")[0] for path in group}) == 1
        assert not {"sources.a.left", "sources.a.right"} <= set(group)  # one learns
    sizes = {
        group: sum(p.numel() for path in group for p in network.get_submodule(path).parameters())
        for group in groups
    }
    whole = sum(size for group, size in sizes.items() if group[0].startswith("sources.b."))
    for group, size in sizes.items():
        last = sum(p.numel() for p in network.get_submodule(group[-1]).parameters())
        if group[0].startswith("sources.b."):
            assert size - last < whole / PIECES


def test_what_no_step_runs_is_left_where_it_is() -> None:
    network, _ = odd_network(["a:right"])
    shared = idle_modules(network)  # the pixels of both are prepared once
    assert shared == ("preprocess.b",)
    for graph in (network.graph, network.train_graph):
        for node in graph.find_nodes(op="call_module", target="sources.b.past"):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    assert idle_modules(network) == (*shared, "sources.b.past")
    network.get_submodule("sources.b.past").requires_grad_(True)
    assert idle_modules(network) == shared  # an optimiser knows of it


@pytest.mark.parametrize(
    ("options", "balance", "hint"),
    [
        ({"precision": "16-mixed"}, "constant", "bf16-mixed"),
        ({}, "gradnorm", "--balance uncertainty"),
        ({"accelerator": "mps"}, "constant", "--accelerator gpu, or cpu"),
    ],
)
def test_what_cannot_be_spread_is_refused(options: Any, balance: str, hint: str) -> None:
    with pytest.raises(UsageError, match="spread over ranks") as caught:
        check_shardable(FitOptions(**options), balance)
    assert hint in (caught.value.hint or "")
    check_shardable(FitOptions(precision="bf16-mixed"), "uncertainty")


@slow
def test_ranks_that_are_to_spread_weights_refuse_it_before_they_begin(tmp_path: Path) -> None:
    given = OF_RANKS["losses balanced by gradients"]
    store = tmp_path / "store"
    found = run_ranks(2, [("refusal", given)], tmp_path / "told", store, **{SHARDED: "1"})
    assert all("--strategy-dist fsdp with --balance gradnorm" in words for (words,) in found)
    assert not store.exists()
