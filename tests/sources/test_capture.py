"""Promise 1: what is captured computes what the network computes, bit for bit, in both modes."""

import copy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

from convgraft.errors import SourceError
from convgraft.sources import capture, source
from helpers import Tiny, images, run, same, same_state


def assert_exact(network: nn.Module, size: int) -> None:
    """The captured graphs give the original's results, and leave the same statistics behind."""
    original = copy.deepcopy(network)
    found = capture(network)
    assert same_state(network, original)
    for training in (True, False):
        captured = fx.GraphModule(network, found.graph(training).fx)
        expected = run(original, images(size), training=training)
        network.train(training)
        assert same(run(captured, images(size), training=training), expected)
        assert _first(expected).isfinite().all()
    assert same_state(network, original)


def _first(result: object) -> Tensor:
    return result if isinstance(result, Tensor) else result[0]


def torchvision_network(name: str, **options: object) -> nn.Module:
    return models.get_model(name, weights=None, num_classes=7, **options)


FAST = {"squeezenet1_1": 48, "mobilenet_v2": 32, "resnet18": 32, "shufflenet_v2_x0_5": 32}
FAMILIES = {
    "alexnet": 64, "convnext_tiny": 32, "densenet121": 32, "efficientnet_b0": 32,
    "efficientnet_v2_s": 32, "mnasnet0_5": 32, "mobilenet_v3_small": 32, "regnet_x_400mf": 32,
    "regnet_y_400mf": 32, "resnext50_32x4d": 32, "vgg11_bn": 32,
    "wide_resnet50_2": 32, "maxvit_t": 224, "swin_t": 32, "swin_v2_t": 64, "vit_b_32": 224,
}  # fmt: skip
TIMM = ["resnet10t", "mobilenetv3_small_050", "lcnet_050", "convnext_atto"]
TIMM_FAMILIES = [
    "botnet26t_256", "cspresnet50", "darknet17", "densenet121", "dla34", "dpn48b",
    "edgenext_xx_small", "efficientnet_lite0", "fastvit_t8", "fbnetc_100", "ghostnet_050",
    "ghostnetv2_100", "hardcorenas_a", "hgnetv2_b0", "inception_next_atto", "mixnet_s",
    "mobilenetv4_conv_small", "mobileone_s0", "mobilevit_xxs", "nf_resnet26", "nfnet_f0",
    "regnetx_002", "repghostnet_050", "repvgg_a0", "repvit_m0_9", "res2net50_14w_8s",
    "resnest14d", "resnetv2_18", "rexnet_100", "selecsls42", "semnasnet_050", "skresnet18",
    "starnet_s1", "test_efficientnet", "tresnet_m", "vovnet39a", "xception41", "levit_128s",
    "seresnext26t_32x4d", "tinynet_e",
]  # fmt: skip


@pytest.mark.parametrize(("name", "size"), FAST.items())
def test_torchvision(name: str, size: int):
    assert_exact(torchvision_network(name), size)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), FAMILIES.items())
def test_torchvision_families(name: str, size: int):
    assert_exact(torchvision_network(name), size)


@pytest.mark.parametrize("name", TIMM)
def test_timm(name: str):
    assert_exact(timm.create_model(name, num_classes=7), 64)


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM_FAMILIES)
def test_timm_families(name: str):
    size = timm.get_pretrained_cfg(name).input_size[-1] if name in _FIXED_SIZE else 64
    assert_exact(timm.create_model(name, num_classes=7), size)


_FIXED_SIZE = ("levit_128s", "botnet26t_256")


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_auxiliary_heads_are_part_of_training_alone(name: str):
    size = {"inception_v3": 299, "googlenet": 64}[name]
    network = torchvision_network(name, init_weights=False)
    assert_exact(network, size)
    found = capture(network)
    training = fx.GraphModule(network, found.train.fx).train()
    assert isinstance(training(images(size)), tuple)
    assert isinstance(network.eval()(images(size)), Tensor)
    called = {str(node.target) for node in found.eval.fx.nodes}
    assert not [target for target in called if target.lower().startswith("aux")]
    assert found.train is not found.eval


@pytest.mark.parametrize(
    "build",
    [
        lambda: timm.create_model("convnext_atto", drop_path_rate=0.5, drop_rate=0.5),
        lambda: timm.create_model("test_efficientnet", drop_path_rate=0.5, drop_rate=0.5),
        lambda: models.efficientnet_b0(stochastic_depth_prob=0.5, num_classes=5),
        lambda: models.mobilenet_v2(dropout=0.5, num_classes=5),
    ],
    ids=["timm DropPath", "timm functional dropout", "torchvision StochasticDepth", "Dropout"],
)
def test_random_layers_draw_the_same_numbers(build: Callable[[], nn.Module]):
    network = build()
    twin = copy.deepcopy(network)
    assert not same(
        run(twin, images(32), training=True, seed=1), run(twin, images(32), training=True, seed=2)
    )
    assert_exact(network, 32)


def test_functional_dropout_follows_the_mode():
    class Network(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.dropout(x, 0.5, self.training))

    assert_exact(Network(), 16)


class Threshold(nn.Module):
    """Decides by the values it computes, which no trace can follow."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0 else -x


class WithThreshold(Tiny):
    def __init__(self):
        super().__init__()
        self.stage = nn.Sequential(nn.Conv2d(3, 3, 1), Threshold())

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.stage(x))


def test_an_untraceable_submodule_is_called_whole():
    assert capture(WithThreshold()).opaque == ("stage.1",)
    assert_exact(WithThreshold(), 16)


def test_a_network_with_an_opaque_submodule_is_a_source():
    assert source(WithThreshold(), size=16).classes == 5


def test_a_submodule_that_decides_by_shape_is_a_source():
    class Shrink(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.avg_pool2d(x, 2) if x.shape[-1] > 8 else x

    class Network(Tiny):
        def __init__(self):
            super().__init__()
            self.shrink = Shrink()

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.shrink(x))

    opened = source(Network(), size=16)
    assert opened.capture.opaque == ("shrink",)
    assert opened.survey(16).tap("shrink").shape == (3, 8, 8)
    assert_exact(Network(), 16)


UNTRACEABLE = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        x = self.conv(x)
        if x.sum() > 0:
            return x.mean((2, 3))
        return -x.mean((2, 3))
"""


def refusal(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> SourceError:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(UNTRACEABLE)
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(SourceError) as caught:
        source(f"python:{name}:Net")
    sys.modules.pop(name)
    return caught.value


def test_an_untraceable_network_is_refused_with_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    error = refusal(tmp_path, monkeypatch, "untraceable_one")
    line = UNTRACEABLE.splitlines().index("        if x.sum() > 0:") + 1
    assert "python:untraceable_one:Net cannot be captured" in error.what
    assert f"{tmp_path / 'untraceable_one.py'}:{line}: if x.sum() > 0:" in (error.found or "")
    assert "submodule" in (error.hint or "")


def test_the_line_is_named_in_a_folder_called_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    error = refusal(tmp_path / "torch", monkeypatch, "untraceable_two")
    assert "untraceable_two.py:" in (error.found or "")


def test_training_flags_are_as_before():
    network = Tiny().train()
    network.bn.eval()
    before = {name: m.training for name, m in network.named_modules()}
    capture(network)
    assert {name: m.training for name, m in network.named_modules()} == before


def test_training_flags_are_as_before_when_capture_fails():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else self.bn(x)

    network = Network().eval()
    with pytest.raises(SourceError):
        capture(network)
    assert not network.training
    assert not network.bn.training


def test_two_copies_of_a_network_are_independent():
    network = Tiny()
    first, second = source(network, size=16), source(network, size=16)
    before = copy.deepcopy(network)
    with torch.no_grad():
        first.module.conv.weight.add_(1)
    assert same_state(second.module, before)
    assert same_state(network, before)
    assert first.capture.eval.fx is not second.capture.eval.fx


class LayerDrop(Tiny):
    """Skips a layer by a coin that its own forward throws."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.rand(1).item() < 0.5:
            return self.fc(torch.flatten(self.pool(self.bn(self.conv(x))), 1))
        return super().forward(x)


class Noise(Tiny):
    """Adds noise of a fixed shape while training."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.randn(1, 3, 1, 1) if self.training else x)


@pytest.mark.parametrize("build", [LayerDrop, Noise])
def test_random_numbers_in_a_forward_are_not_frozen_into_the_graph(build: type[Tiny]):
    try:
        found = capture(network := build())
    except SourceError:
        return  # refused is as good as exact
    captured = fx.GraphModule(network, found.train.fx).train()
    for seed in range(8):
        network.train()
        expected = run(copy.deepcopy(network), images(16), training=True, seed=seed)
        assert same(run(copy.deepcopy(captured), images(16), training=True, seed=seed), expected)


class Counter(Tiny):
    """Counts its training steps in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.steps.add_(1)
        return super().forward(x)


def test_buffers_that_a_forward_writes_are_part_of_the_graph():
    found = capture(network := Counter())
    assert network.steps.item() == 0
    captured = fx.GraphModule(network, found.train.fx).train()
    for _ in range(3):
        captured(images(16))
    assert network.steps.item() == 3


def test_arithmetic_on_buffers_follows_the_buffers():
    network = models.resnet18(norm_layer=FrozenBatchNorm2d, num_classes=4).eval()
    captured = fx.GraphModule(network, capture(network).eval.fx)
    network.bn1.running_var.mul_(3)
    assert same(captured(images(32)), network(images(32)))


def test_a_forward_may_branch_on_the_shape_of_its_buffers():
    class Periods(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("periods", torch.arange(3.0))

        def forward(self, x: Tensor) -> Tensor:
            assert self.periods.numel() == self.periods.shape[0] == self.periods.size(0) == 3
            if self.periods.dim() != self.periods.ndim:
                raise ValueError
            return (x.mean((2, 3)) * self.periods).flatten(1)

    assert_exact(Periods(), 8)


def test_optional_inputs_of_a_forward_keep_their_default():
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            if mask is not None:
                x = x * mask.view(1, 1, 1, 1)
            return self.conv(x).mean((2, 3))

    assert_exact(Masked(), 8)
