"""Keys are equal where values are equal, and differ with everything that values depend on."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_frontier import SIZE, cut_keys, cut_of, held, values_of_cut
from torch import Tensor, nn

from convgraft.cache import keys
from convgraft.cache.keys import part_digest
from convgraft.cache.values import companions
from convgraft.sources import Source, source
from convgraft.sources.preprocess import Preprocessing
from convgraft.strategies import StrategyOptions
from helpers import small

HERE = Path(__file__).parent
SIDE = StrategyOptions(head="side")


def test_names_of_sources_do_not_count() -> None:
    first = cut_keys(held({"a": small(0), "b": small(1)}))
    assert cut_keys(held({"y": small(1), "x": small(0)})) == first[::-1]
    assert len(set(first)) == 2


def test_every_strategy_reads_the_same_store() -> None:
    probes = [cut_keys(held({"a": small(n)}, "probe"))[0] for n in (0, 1)]
    assert cut_keys(held({"a": small(0), "b": small(1)})) == probes
    ladder = held({"a": small(0)}, "ladder", options=SIDE)
    probe = held({"a": small(0)}, "probe")
    cut = values_of_cut(probe)
    beside = {value.key for value in companions(cut_of(probe), cut)}
    assert probes[0] not in beside
    wanted = set(cut_keys(ladder))
    assert len(wanted) > 2
    assert wanted <= beside | {probes[0]}


def test_copies_and_modes_have_the_same_keys() -> None:
    network = held({"a": small(0)})
    keys = cut_keys(network)
    assert cut_keys(copy.deepcopy(network)) == keys
    assert cut_keys(network.train()) == cut_keys(network.eval()) == keys
    assert cut_keys(network.to(memory_format=torch.channels_last)) == keys


PRINT = """
import torch
from helpers_frontier import cut_keys, held
from helpers import small
print(*cut_keys(held({"b": small(1), "a": small(0)}, "parallel")))
"""


def in_another_process(code: str, *folders: Path, seed: str = "7") -> str:
    paths = [*map(str, (*folders, HERE, HERE.parent)), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_another_process_finds_the_same_keys() -> None:
    expected = cut_keys(held({"a": small(1), "b": small(0)}))
    assert in_another_process(PRINT).split() == expected


def changed(change: Callable[[nn.Module], object]) -> Source:
    """A source whose module is other than that of `small(0)`."""
    module = copy.deepcopy(small(0).module)
    change(module)
    return source(module, size=SIZE)


def one_ulp(tensor: Tensor) -> None:
    with torch.no_grad():
        flat = tensor.view(-1)
        flat[-1] = torch.nextafter(flat[-1], torch.tensor(torch.inf))


def stride(module: nn.Module) -> None:
    module.get_submodule("layer1.0.conv1").padding = (0, 0)  # type: ignore[assignment]
    module.get_submodule("layer1.0.conv2").padding = (2, 2)  # type: ignore[assignment]


def put(path: str, layer: nn.Module) -> Callable[[nn.Module], object]:
    parent, _, name = path.rpartition(".")
    return lambda module: setattr(module.get_submodule(parent), name, layer)


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "a weight": lambda m: one_ulp(m.get_parameter("conv1.weight")),
    "a late weight": lambda m: one_ulp(m.get_parameter("layer3.0.conv2.weight")),
    "a bias": lambda m: one_ulp(m.get_parameter("layer2.0.bn1.bias")),
    "a buffer": lambda m: one_ulp(m.get_buffer("layer2.0.bn1.running_mean")),
    "eps": lambda m: setattr(m.get_submodule("bn1"), "eps", 1.1e-5),
    "padding": stride,
    "an activation": put("relu", nn.LeakyReLU(0.1)),
    "its argument": put("relu", nn.LeakyReLU(0.2)),
}


@pytest.fixture(scope="module")
def plain() -> str:
    return cut_keys(held({"a": source(copy.deepcopy(small(0).module), size=SIZE)}))[0]


def test_every_change_of_a_network_is_another_key(plain: str) -> None:
    keys = {what: cut_keys(held({"a": changed(change)}))[0] for what, change in CHANGES.items()}
    assert cut_keys(held({"a": changed(lambda m: None)})) == [plain]
    assert len({*keys.values(), plain}) == len(CHANGES) + 1, keys


def test_the_classifier_behind_the_cut_does_not_count(plain: str) -> None:
    other = changed(lambda m: one_ulp(m.get_parameter("fc.weight")))
    assert cut_keys(held({"a": other})) == [plain]


def test_image_size_view_and_preprocessing_count() -> None:
    base = small(0)
    found = [*cut_keys(held({"a": base})), *cut_keys(held({"a": base}, size=36))]
    found += [cut_keys(held({"a": base}), view)[0] for view in ("light 0", "light 1", "digits 0")]
    usual = base.preprocessing
    for settings in (
        replace(usual, mean=(0.5, *usual.mean[1:])),
        replace(usual, std=(0.5, *usual.std[1:])),
        replace(usual, size=40),
        Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ):
        found += cut_keys(held({"a": replace(base, preprocessing=settings)}))
    assert len(set(found)) == 9


class Order(nn.Module):
    """Reads values in one order or the other, before or after something writes over them."""

    def __init__(self, way: str) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv, self.other = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(3, 8, 3, 2)
            self.mix, self.fc = nn.Conv2d(16, 8, 3), nn.Linear(8, 10)
        self.relu, self.way = nn.ReLU(inplace=True), way

    def forward(self, x: Tensor) -> Tensor:
        x, y = self.conv(x), self.other(x)
        if self.way == "read before":
            z = x * 2
            y = y + self.relu(x)
        else:
            y = y + self.relu(x)
            z = x * 2
        z = torch.cat([y, z] if self.way == "swapped" else [z, y], 1)
        return self.fc(self.mix(z).mean((2, 3)))


def test_order_counts_of_arguments_and_of_overwriting() -> None:
    ways = ("read before", "read after", "swapped")
    made = [held({"a": source(Order(way), size=SIZE)}) for way in ways]
    assert len({cut_keys(network)[0] for network in made}) == 3
    again = held({"other": source(Order("read after"), size=SIZE)})
    assert cut_keys(again) == cut_keys(made[1])


NETWORK = """
from functools import partial
import torch
from torch import nn
SCALE = 2.0
def helper(x):
    return x * SCALE + 1
class Base(nn.Module):
    def scaled(self, x):
        return helper(x)
def closure(power):
    def raised(x):
        return x ** power
    return raised
class Own(Base):
    def __init__(self):
        super().__init__()
        self._private = 3
        self.raised = closure(2)
        self.fixed = partial(torch.clamp, min=0.5)
        self.names = {"b", "a", "c"}
    def forward(self, x):
        return self.scaled(self.raised(x)) + self._private
"""
EDITS = [
    ("SCALE = 2.0", "SCALE = 3.0"),
    ("SCALE + 1", "SCALE + 2"),
    ("helper(x)\n", "-helper(x)\n"),
    ("_private = 3", "_private = 4"),
    ("closure(2)", "closure(3)"),
    ("x ** power", "x * power"),
    ("min=0.5", "min=0.6"),
    ("self.raised(x))", "self.raised(-x))"),
]
DIGEST = """
import json, sys
from test_keys import digest_of
print(*map(digest_of, json.loads(open(sys.argv[1]).read())))
"""


def digest_of(text: str) -> str:
    """Of the network that a text defines."""
    names: dict[str, Any] = {"__name__": "network"}
    exec(compile(text, "network.py", "exec"), names)
    return part_digest(names["Own"]())


def test_code_of_ones_own_counts(tmp_path: Path) -> None:
    texts = [NETWORK, *(NETWORK.replace(*edit) for edit in EDITS), f"\n\n# moved\n{NETWORK}"]
    assert len(set(texts)) == len(EDITS) + 2
    plain, *others, moved = digests = [digest_of(text) for text in texts]
    assert moved == plain
    assert len({plain, *others}) == len(EDITS) + 1
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    code = DIGEST.replace("sys.argv[1]", repr(str(tmp_path / "texts.json")))
    assert in_another_process(code).split() == digests


def test_a_file_that_changed_is_another_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.py").write_text(NETWORK)
    own = import_module("mine").Own()
    before = part_digest(own)
    (tmp_path / "mine.py").write_text(NETWORK.replace("SCALE + 1", "SCALE + 512"))
    assert part_digest(own) == before  # what is loaded is what runs
    code = (
        "from mine import Own; from convgraft.cache.keys import part_digest as d; print(d(Own()))"
    )
    assert in_another_process(code, tmp_path) != before


def test_settings_that_hold_one_another_end() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[0].around = [module, module]  # type: ignore[assignment]
    same = copy.deepcopy(module)
    assert part_digest(module) == part_digest(same)
    same[1].bias = None  # type: ignore[assignment]
    assert part_digest(module) != part_digest(same)


def test_a_layer_that_runs_twice_is_another_network() -> None:
    conv = nn.Conv2d(3, 3, 1)
    assert part_digest(nn.Sequential(conv, conv)) != part_digest(nn.Sequential(conv))


def test_keys_change_with_the_code_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    network = held({"a": small(0)})
    before = cut_keys(network)
    monkeypatch.setattr(keys, "own_code", lambda: "another")
    assert not set(cut_keys(network)) & set(before)
