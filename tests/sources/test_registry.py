"""Architectures by name: found, built alike from a seed, or refused with what is near."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch

from convgraft.errors import SourceError
from convgraft.sources import Preprocessing, source
from helpers import Tiny, same_state


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("torchvision/resnet81", "resnet18"),
        ("timm/mobilenetv3_smal_100", "mobilenetv3_small_100"),
        ("timm/resnet18.a1_in2k", "resnet18.a1_in1k"),
        ("cifar_resnet21", "cifar_resnet20"),
        ("resnet18", "torchvision/resnet18"),
    ],
)
def test_an_unknown_name_is_told_with_what_is_near(spec: str, hint: str):
    with pytest.raises(SourceError, match=f'called "{spec.split("/")[-1]}"') as caught:
        source(spec)
    assert hint in (caught.value.hint or "")


def test_detectors_are_no_classifiers():
    with pytest.raises(SourceError, match="torchvision has no classifier"):
        source("torchvision/fasterrcnn_resnet50_fpn")


@pytest.mark.parametrize("spec", ["cifar_resnet20", "custom16"])
def test_no_default_weights(spec: str):
    with pytest.raises(SourceError, match="no default weights"):
        source(f"{spec}@DEFAULT")


def test_without_a_network_the_ways_that_need_none_are_named(monkeypatch: pytest.MonkeyPatch):
    def unreachable(*_: Any, **__: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(SourceError, match="could not be downloaded") as caught:
        source("torchvision/squeezenet1_1@DEFAULT")
    assert "Name or service not known" in (caught.value.found or "")
    hint = caught.value.hint or ""
    assert "torchvision/squeezenet1_1@weights.safetensors" in hint
    assert hint.endswith("torchvision/squeezenet1_1 alone begins with random weights")


@pytest.mark.parametrize(
    "spec", ["cifar_resnet20", "custom16", "torchvision/squeezenet1_1", "timm/lcnet_050"]
)
def test_a_seed_gives_the_same_network_and_leaves_the_others_alone(spec: str):
    state = torch.get_rng_state()
    first, second, other = (source(spec, classes=4, seed=seed) for seed in (5, 5, 6))
    assert same_state(first.module, second.module)
    assert not same_state(first.module, other.module)
    assert first.classes == other.classes == 4
    assert torch.equal(torch.get_rng_state(), state)


FACTORIES = """
import torch
from torch import nn

def build(num_classes=3):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, num_classes))

class Models:
    @staticmethod
    def fixed():
        return build(6)

def words():
    return "no network"

def sized(size):
    return build(size)

number = 3

class Lenet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)
        self.fc = nn.Linear(4 * 16 * 16, 5)

    def forward(self, x):
        return self.fc(torch.flatten(self.conv(x), 1))
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with factories, in the folder one stands in."""
    name = f"factories_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    return f"python:{name}"


def test_your_own_factory(factories: str):
    opened = source(f"{factories}:build", classes=8)
    assert opened.classes == 8
    assert opened.spec == f"{factories}:build"
    assert source(f"{factories}:build").classes == 3
    assert source(f"{factories}:Models.fixed", classes=8).classes == 6


def test_weights_tell_the_classes_of_your_own_factory(factories: str, tmp_path: Path):
    state = source(f"{factories}:build", classes=9, seed=4).module.state_dict()
    torch.save(state, tmp_path / "w.pth")
    opened = source(f"{factories}:build@{tmp_path / 'w.pth'}")
    assert opened.classes == 9
    assert torch.equal(opened.module.state_dict()["0.weight"], state["0.weight"])


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("missing", "cannot be imported"),
        ("number", "is not a function or class"),
        ("words", "does not make an nn.Module"),
        ("sized", "fails when it is called"),
    ],
)
def test_what_is_no_factory_is_refused(factories: str, attribute: str, words: str):
    with pytest.raises(SourceError, match=words):
        source(f"{factories}:{attribute}")


@pytest.mark.parametrize(("text", "words"), [("def f(:", "SyntaxError"), ("1 / 0", "ZeroDivision")])
def test_a_module_that_cannot_be_read_is_refused(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / f"broken_{words}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="cannot be imported") as caught:
        source(f"python:broken_{words}:net")
    assert words in (caught.value.found or "")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_a_network_in_another_precision_is_refused(dtype: torch.dtype):
    with pytest.raises(SourceError, match="another precision") as caught:
        source(Tiny().to(dtype), size=16)
    assert caught.value.found == f"{dtype} in conv.weight"
    assert "network.float()" in (caught.value.hint or "")


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_preprocessing_of_any_numbers(kind: Callable[[list[float]], Any]):
    opened = source(Tiny(), size=16, mean=kind([0.25, 0.5, 0.75]), std=kind([1.0, 2.0, 4.0]))
    assert opened.preprocessing == Preprocessing((0.25, 0.5, 0.75), (1.0, 2.0, 4.0), 16)


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"size": 0}, "sizes are above 0"), ({"mean": (), "std": ()}, "one number per channel")],
)
def test_preprocessing_that_cannot_be_is_refused(asked: dict[str, Any], words: str):
    with pytest.raises(SourceError, match=words):
        source("cifar_resnet20", **asked)


def test_a_module_that_is_not_there_is_refused():
    with pytest.raises(SourceError, match="cannot be imported") as caught:
        source("python:nowhere_at_all:build")
    assert "nowhere_at_all" in (caught.value.found or "")


def test_your_own_factory_of_one_image_size(factories: str):
    assert source(f"{factories}:Lenet", size=32).classes == 5


def test_any_module_is_a_source_and_stays_as_it_is():
    network = Tiny(classes=4).eval()
    network.bn.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    opened = source(network, size=16, mean=(0.1, 0.2, 0.3), std=(1, 2, 3))
    assert (opened.spec, opened.classes) == ("module:Tiny", 4)
    assert opened.preprocessing.mean == (0.1, 0.2, 0.3)
    assert opened.preprocessing.size == 16
    assert opened.module is not network
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before)
    assert not network.training
    assert network.bn.training


def test_a_grey_network_is_a_source():
    opened = source(Tiny(channels=1), size=16, mean=(0.5,), std=(0.5,))
    assert opened.survey(16).tap("input").shape == (1, 16, 16)


def test_one_number_per_channel_each():
    with pytest.raises(SourceError, match="one number per channel each"):
        source("cifar_resnet20", mean=(0.5,))
