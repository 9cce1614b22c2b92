"""Promise 2: an empty plan is its source, bit for bit, in both modes."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import models

from convgraft.compose import compose
from convgraft.opening import compile_plan
from convgraft.sources import source
from helpers import Tiny, images, opened, plan_for, run, run_alone, same, same_state

NETWORKS = {
    "cifar_resnet20": 32,
    "custom16": 32,
    "torchvision/squeezenet1_1": 64,
    "torchvision/mobilenet_v2": 64,
    "torchvision/resnet18": 48,
    "timm/convnext_atto": 64,
    "timm/test_efficientnet": 64,
}
SLOW = {"torchvision/densenet121": 64, "timm/levit_128s": 224, "timm/ghostnet_050": 64}


def assert_is_its_source(spec: str, size: int) -> None:
    own = opened(spec)
    composite = compose(plan_for({"net": own}, size=size), {"net": own})
    for training in (False, True):
        answers = run(composite, images(size), training=training)
        assert list(answers) == ["net"]
        alone = run_alone(own, images(size), training=training)
        assert torch.equal(answers["net"], alone if isinstance(alone, Tensor) else alone[0])


@pytest.mark.parametrize(("spec", "size"), NETWORKS.items())
def test_an_empty_plan_is_its_source(spec: str, size: int):
    assert_is_its_source(spec, size)


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "size"), SLOW.items())
def test_an_empty_plan_is_its_source_in_more_families(spec: str, size: int):
    assert_is_its_source(spec, size)


class WithModes(Tiny):
    """Goes another way while training."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.dropout(x, 0.5) if self.training else x * 2)


def test_a_network_with_another_forward_for_each_mode():
    own = source(WithModes(), size=16)
    composite = compose(plan_for({"net": own}, size=16), {"net": own})
    for training in (True, False, True):
        answer = run(copy.deepcopy(composite), images(16), training=training)["net"]
        assert torch.equal(answer, run_alone(own, images(16), training=training))


def test_googlenet_trains_without_its_training_heads():
    own = source(models.googlenet(init_weights=False, dropout=0.0, dropout_aux=0.0), size=64)
    composite = compose(plan_for({"net": own}, size=64), {"net": own})
    for training in (False, True):
        alone = run_alone(own, images(64), training=training)
        answer = run(composite, images(64), training=training)["net"]
        assert torch.equal(answer, alone.logits if training else alone)


def test_inception_trains_at_100_pixels_where_the_original_fails():
    own = opened("torchvision/inception_v3")
    with pytest.raises(RuntimeError):
        run_alone(own, images(100), training=True)
    composite = compose(plan_for({"net": own}, size=100), {"net": own})
    original = copy.deepcopy(own.module)
    original.aux_logits, original.AuxLogits = False, None
    normalised = own.preprocessing.build()(images(100))
    for training in (False, True):
        answer = run(composite, images(100), training=training)["net"]
        assert torch.equal(answer, run(original, normalised, training=training))
    assert not [name for name in composite.state_dict() if "AuxLogits" in name]


def test_several_sources_without_wires_are_each_themselves():
    sources = {"a": opened("cifar_resnet20"), "b": opened("torchvision/squeezenet1_1")}
    composite = compose(plan_for(sources, size=48), sources)
    for training in (False, True):
        for name, own in sources.items():
            alone = run_alone(own, images(48), training=training)
            single = compose(plan_for({name: own}, size=48), {name: own})
            assert torch.equal(run(single, images(48), training=training)[name], alone)
    answers = run(composite, images(48), training=False)
    assert all(
        torch.equal(answers[name], run_alone(own, images(48), training=False))
        for name, own in sources.items()
    )


def test_training_moves_the_statistics_as_alone():
    own = opened("cifar_resnet20")
    composite = compose(plan_for({"net": own}), {"net": own})
    alone = copy.deepcopy(own.module)
    for seed in range(3):
        run(composite, images(seed=seed), training=True)
        run(alone, own.preprocessing.build()(images(seed=seed)), training=True)
    assert same_state(composite.sources.net, alone)


def test_bytes_and_floats_give_the_same_answer():
    own = opened("cifar_resnet20")
    composite = compose(plan_for({"net": own}), {"net": own}).eval()
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert same(composite(pixels), composite(pixels.float() / 255))


def test_a_source_with_its_own_image_size_resizes():
    own = source(Tiny(), size=16)
    composite = compose(plan_for({"net": own}, size=40), {"net": own}).eval()
    alone = run_alone(own, images(40), training=False)
    assert torch.equal(composite(images(40))["net"], alone)


def test_opened_from_the_plan_alone():
    own = opened("cifar_resnet20")
    plan = plan_for({"net": own})
    composite = compile_plan(plan)
    assert composite.plan == plan
    assert same_state(composite.sources.net, own.module)
