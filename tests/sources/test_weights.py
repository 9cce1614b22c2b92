"""Weights from files: what is read, what is refused, and what the refusal says."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from convgraft.errors import SourceError
from convgraft.sources import source
from convgraft.sources.weights import WeightsFile, open_weights
from convgraft.zoo.networks import CifarResNet
from helpers import images, opened, run_alone, same, same_state

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    torch.manual_seed(9)
    return CifarResNet(20, num_classes=7)


WRITERS: dict[str, Callable[[State, Path], None]] = {
    "w.safetensors": save_file,
    "w.pth": torch.save,
    "w.pt": torch.save,
    "legacy.pth": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "state_dict.pth": lambda state, path: torch.save({"epoch": 3, "state_dict": state}, path),
    "model_state_dict.pth": lambda state, path: torch.save({"model_state_dict": state}, path),
    "model.pth": lambda state, path: torch.save({"model": state, "optimizer": {"lr": 0.1}}, path),
    "net.pth": lambda state, path: torch.save({"net": state}, path),
    "parallel.pth": lambda state, path: torch.save(prefixed(state, "module."), path),
    "compiled.pth": lambda state, path: torch.save(prefixed(state, "_orig_mod."), path),
    "both.pth": lambda state, path: torch.save(prefixed(state, "module._orig_mod."), path),
    "nested.pth": lambda state, path: torch.save({"state_dict": prefixed(state, "module.")}, path),
    "parallel.safetensors": lambda state, path: save_file(prefixed(state, "module."), path),
}


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_network(name: str, trained: nn.Module, tmp_path: Path):
    WRITERS[name](trained.state_dict(), tmp_path / name)
    opened = source(f"cifar_resnet20@{tmp_path / name}")
    assert opened.classes == 7
    assert opened.pending is None
    assert same_state(opened.module, trained)


def test_a_compiled_data_parallel_network(trained: nn.Module, tmp_path: Path):
    torch.save(prefixed(trained.state_dict(), "_orig_mod.module."), tmp_path / "w.pth")
    assert same_state(source(f"cifar_resnet20@{tmp_path / 'w.pth'}").module, trained)


def test_loading_can_wait(trained: nn.Module, tmp_path: Path):
    path = tmp_path / "w.safetensors"
    save_file(trained.state_dict(), path)
    waiting = source(f"cifar_resnet20@{path}", load=False)
    assert waiting.pending is not None
    assert waiting.classes == 7
    assert not same_state(waiting.module, trained)
    loaded = waiting.loaded()
    assert loaded.pending is None
    assert same_state(loaded.module, trained)
    image = images(32)
    expected = trained.eval()(loaded.preprocessing.build()(image))
    assert same(run_alone(loaded, image, training=False), expected)


def test_the_number_of_classes_is_that_of_the_weights(trained: nn.Module, tmp_path: Path):
    save_file(trained.state_dict(), path := tmp_path / "w.safetensors")
    assert source(f"cifar_resnet20@{path}", classes=3).classes == 7


def test_half_precision_weights_load(trained: nn.Module, tmp_path: Path):
    halves = {
        name: t.half() if t.is_floating_point() else t for name, t in trained.state_dict().items()
    }
    save_file(halves, path := tmp_path / "w.safetensors")
    module = source(f"cifar_resnet20@{path}").module
    assert module.conv1.weight.dtype == torch.float32
    assert torch.equal(module.conv1.weight, trained.conv1.weight.half().float())


def test_weights_without_training_heads_load(tmp_path: Path):
    network = models.googlenet(init_weights=False, aux_logits=False)
    torch.save(network.state_dict(), path := tmp_path / "w.pth")
    opened = source(f"torchvision/googlenet@{path}")
    loaded = {n: t for n, t in opened.module.state_dict().items() if not n.startswith("aux")}
    assert same(loaded, dict(network.state_dict()))
    assert opened.module.transform_input


def test_weights_of_a_network_that_began_at_random_are_of_that_network(tmp_path: Path):
    own = opened("torchvision/googlenet")
    save_file(own.module.state_dict(), path := tmp_path / "w.safetensors")
    again = source(f"torchvision/googlenet@{path}")
    found, expected = (run_alone(one, images(64), training=True) for one in (again, own))
    assert same(found, expected)


def test_weights_without_training_heads_tell_their_classes(tmp_path: Path):
    network = models.googlenet(init_weights=False, aux_logits=False, num_classes=6)
    torch.save(network.state_dict(), path := tmp_path / "w.pth")
    assert source(f"torchvision/googlenet@{path}").classes == 6


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_code_is_refused_and_does_not_run(legacy: bool, tmp_path: Path):
    path, marker = tmp_path / "w.pth", tmp_path / "ran"
    torch.save({"conv1.weight": Evil(marker)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(SourceError, match="cannot be loaded safely") as caught:
        source(f"cifar_resnet20@{path}")
    assert not marker.exists()
    assert "safetensors" in (caught.value.hint or "")


def test_a_bare_pickle_is_refused(tmp_path: Path):
    (tmp_path / "w.pt").write_bytes(pickle.dumps(Evil(tmp_path / "ran"), 2))
    with pytest.raises(SourceError, match="cannot be loaded safely"):
        source(f"cifar_resnet20@{tmp_path / 'w.pt'}")
    assert not (tmp_path / "ran").exists()


def test_a_pickled_module_is_refused(trained: nn.Module, tmp_path: Path):
    torch.save(trained, tmp_path / "w.pth")
    with pytest.raises(SourceError, match="cannot be loaded safely"):
        source(f"cifar_resnet20@{tmp_path / 'w.pth'}")


def test_a_checkpoint_without_a_state_dict(tmp_path: Path):
    torch.save({"epoch": 3, "accuracy": 0.9}, tmp_path / "w.pth")
    with pytest.raises(SourceError, match="holds no state dict"):
        source(f"cifar_resnet20@{tmp_path / 'w.pth'}")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("keep", [0, 7, 20_000])
def test_a_damaged_file(name: str, keep: int, trained: nn.Module, tmp_path: Path):
    WRITERS[name](trained.state_dict(), tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:keep])
    with pytest.raises(SourceError, match="cannot be") as caught:
        source(f"cifar_resnet20@{tmp_path / name}")
    assert str(tmp_path / name) in caught.value.what


def test_weights_of_a_deeper_network_name_the_tensors(tmp_path: Path):
    save_file(CifarResNet(32).state_dict(), path := tmp_path / "w.safetensors")
    with pytest.raises(SourceError, match="are not of cifar_resnet20") as caught:
        source(f"cifar_resnet20@{path}")
    assert "has layer1.3.bn1.bias" in (caught.value.found or "")
    assert "does not know" in (caught.value.found or "")


def test_weights_of_a_shallower_network_name_the_tensors(tmp_path: Path):
    save_file(CifarResNet(20).state_dict(), path := tmp_path / "w.safetensors")
    with pytest.raises(SourceError) as caught:
        source(f"cifar_resnet32@{path}")
    assert "lacks layer1.3.conv1.weight" in (caught.value.found or "")
    assert "more" in (caught.value.found or "")


def test_weights_of_another_width_name_both_shapes(trained: nn.Module, tmp_path: Path):
    state = trained.state_dict() | {"fc.weight": torch.zeros(7, 65)}
    save_file(state, path := tmp_path / "w.safetensors")
    with pytest.raises(SourceError) as caught:
        source(f"cifar_resnet20@{path}")
    assert "fc.weight [7, 65] for [10, 64]" in (caught.value.found or "")


def test_a_missing_file_is_told_with_what_is_near(tmp_path: Path):
    (tmp_path / "resnet20.safetensors").touch()
    with pytest.raises(SourceError, match="there are no weights") as caught:
        open_weights(str(tmp_path / "resnet2O.safetensors"))
    assert caught.value.hint == "did you mean resnet20.safetensors?"


def test_a_missing_folder_is_told(tmp_path: Path):
    with pytest.raises(SourceError, match="there are no weights"):
        open_weights(str(tmp_path / "nowhere" / "w.pth"))


def test_another_kind_of_file_is_refused(tmp_path: Path):
    (tmp_path / "w.h5").touch()
    with pytest.raises(SourceError, match="not a kind of weights file") as caught:
        open_weights(str(tmp_path / "w.h5"))
    assert caught.value.found == ".h5"


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(SourceError, match="not a finished run"):
        open_weights(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "spec", "classes"),
    [
        ("cifar100_resnet20", "cifar_resnet20", 100),
        ("squeezenet1_1-imagenet", "torchvision/squeezenet1_1", 1000),
        ("mobilenet_v2-imagenet", "torchvision/mobilenet_v2", 1000),
    ],
)
def test_real_weights_load(shared_weights: Path, file: str, spec: str, classes: int):
    opened = source(f"{spec}@{shared_weights / file}.safetensors")
    assert opened.classes == classes
    assert run_alone(opened, images(64), training=False).isfinite().all()


def test_a_folder_with_model_safetensors_and_no_run_is_plain_weights(tmp_path: Path):
    folder = tmp_path / "hub"
    folder.mkdir()
    save_file(source("cifar_resnet20", seed=3).module.state_dict(), folder / "model.safetensors")
    loaded = source(f"cifar_resnet20@{folder}").module.state_dict()
    expected = source("cifar_resnet20", seed=3).module.state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_a_network_with_a_submodule_called_module_keeps_its_names(tmp_path: Path):
    file = WeightsFile(tmp_path / "w.safetensors")
    save_file({"module.a": torch.ones(2), "b": torch.ones(1)}, file.path)
    assert set(file.shapes) == {"module.a", "b"}
