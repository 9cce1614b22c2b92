import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from convgraft.zoo.networks import CifarResNet, Custom16
from helpers import images

# With convolution shortcuts: the counts of He et al., table 6, and 2,752 for the two shortcuts.
PARAMETERS = {20: 272_474, 32: 466_906, 44: 661_338, 56: 855_770}
BLOCK = r"layer[123]\.\d+\.(conv[12]|bn[12]|downsample\.[01])"
TENSOR = "weight|bias|running_mean|running_var|num_batches_tracked"
NAMES = re.compile(rf"(conv1|bn1|fc|{BLOCK})\.({TENSOR})")


@pytest.mark.parametrize(("depth", "count"), PARAMETERS.items())
def test_cifar_resnet_has_the_published_size(depth: int, count: int):
    network = CifarResNet(depth)
    assert sum(p.numel() for p in network.parameters()) == count
    weighted = [
        m
        for name, m in network.named_modules()
        if isinstance(m, (nn.Conv2d, nn.Linear)) and "downsample" not in name
    ]
    assert len(weighted) == depth


@pytest.mark.parametrize("depth", [18, 19, 21])
def test_cifar_resnet_of_another_depth_is_refused(depth: int):
    with pytest.raises(ValueError, match=f"6n \\+ 2, not {depth}"):
        CifarResNet(depth)


def test_cifar_resnet_names_and_stages():
    network = CifarResNet(20, num_classes=7).eval()
    assert all(NAMES.fullmatch(name) for name in network.state_dict())
    normalised = images(32)
    assert network.layer1(network.conv1(normalised)).shape == (2, 16, 32, 32)
    assert network.layer2(torch.rand(2, 16, 32, 32)).shape == (2, 32, 16, 16)
    assert network.layer3(torch.rand(2, 32, 16, 16)).shape == (2, 64, 8, 8)
    assert network(normalised).shape == (2, 7)


@pytest.mark.parametrize(
    ("file", "depth", "classes"),
    [("cifar10_resnet20", 20, 10), ("cifar10_resnet56", 56, 10), ("cifar100_resnet32", 32, 100)],
)
def test_cifar_resnet_names_are_those_of_real_weights(
    shared_weights: Path, file: str, depth: int, classes: int
):
    with safe_open(shared_weights / f"{file}.safetensors", "pt") as stored:
        shapes = {name: stored.get_slice(name).get_shape() for name in stored.keys()}  # noqa: SIM118
    ours = {name: list(t.shape) for name, t in CifarResNet(depth, classes).state_dict().items()}
    assert ours == {name: shapes.get(name, []) for name in ours}
    assert set(shapes) <= set(ours)


def test_custom16_has_sixteen_conv_bn_relu():
    convolutions = [
        (name.rpartition(".")[0], module)
        for name, module in Custom16().named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]
    assert len(convolutions) == 16
    network = Custom16()
    for block, _ in convolutions:
        kinds = [type(layer) for layer in network.get_submodule(block).children()]
        assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU], block


def test_custom16_has_a_residual_around_every_four_blocks():
    network = Custom16(width=4).eval()
    for number, channels in enumerate([3, 4, 8, 16], start=1):
        stage = network.get_submodule(f"stage{number}")
        assert sum(isinstance(m, nn.BatchNorm2d) for m in stage.modules()) == 4
        x = torch.rand(2, channels, 16, 16)
        alone = stage(x)
        last = [m for m in stage.modules() if isinstance(m, nn.BatchNorm2d)][-1]
        nn.init.zeros_(last.weight)  # the four blocks now give nothing
        assert torch.equal(stage(x), stage.residual(x))
        assert not torch.equal(alone, stage(x))


def test_custom16_halves_the_map_after_every_stage():
    network = Custom16(num_classes=6, width=4).eval()
    sides: list[int] = []
    for pool in (network.pool1, network.pool2, network.pool3, network.pool4):
        assert isinstance(pool, nn.MaxPool2d)
        pool.register_forward_hook(lambda m, given, result: sides.append(result.shape[-1]))
    assert network(images(32)).shape == (2, 6)
    assert sides == [16, 8, 4, 2]
