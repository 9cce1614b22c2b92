"""Explanations against their formulas, written out naively."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from convgraft.export import save
from convgraft.layers.fitted_votes import CascadeHead
from convgraft.layers.heads import DenseHead
from convgraft.layers.side import SideHead
from convgraft.opening import compile_plan
from convgraft.plan import Plan, SourceRef
from convgraft.serve.evidence import grad_cam
from convgraft.serve.head_strengths import measure_of
from convgraft.serve.held import branch_shares, with_held
from convgraft.serve.names import short_name
from convgraft.serve.served import open_served
from convgraft.serve.source_answers import source_answers
from convgraft.serve.strengths import strengths, used_wires
from convgraft.serve.trace import Trace
from helpers import head, images, opened, wire

from .conftest import LABELS, SIZE, composed

SHAPES = [(3, 2, 2), (5,)]


def random_head(fusion: str = "concat") -> DenseHead:
    """A head over a map and a vector, with statistics and weights that are not trivial."""
    made = DenseHead(SHAPES, 4, fusion=fusion).eval()
    for name, value in made.state_dict().items():
        if value.is_floating_point() and "running_var" not in name:
            value.copy_(torch.randn_like(value))
    return made


def inputs() -> list[Tensor]:
    return [torch.randn(1, 3, 2, 2), torch.randn(1, 5)]


def test_grad_cam_is_the_papers_sum() -> None:
    values = torch.randn(1, 2, 3, 4, requires_grad=True)
    weight = torch.randn(2, 3, 4)
    score = (weight * values[0]).square().sum()
    naive = torch.zeros(3, 4)
    for k in range(2):
        slopes = [
            [2 * (weight[k, y, x] ** 2 * values[0, k, y, x]).item() for x in range(4)]
            for y in range(3)
        ]
        mean = sum(map(sum, slopes)) / 12
        for y in range(3):
            for x in range(4):
                naive[y, x] += mean * values[0, k, y, x].item()
    naive = naive.clamp(min=0)
    found = grad_cam(score, {"a": values})["a"]
    assert torch.allclose(found, naive / naive.max(), atol=1e-5)


def test_a_map_that_does_not_matter_has_no_evidence_and_a_large_one_is_averaged() -> None:
    used = torch.rand(1, 2, 64, 48, requires_grad=True)
    idle = torch.rand(1, 2, 4, 4, requires_grad=True)
    against = torch.rand(1, 1, 4, 4, requires_grad=True)
    found = grad_cam(used.sum() - against.sum(), {"used": used, "idle": idle, "against": against})
    assert set(found) == {"used"} and found["used"].shape == (32, 32)


def test_a_held_branch_tells_the_head_nothing() -> None:
    made, given = random_head(), inputs()
    z = made.standardised(*given)[0][0]
    layer = made.classifier
    for held, kept in (({1}, range(3)), ({0}, range(3, 8))):
        naive = [
            layer.bias[c].item()
            + sum(layer.weight[c, i].item() * made.scale * z[i].item() for i in kept)
            for c in range(4)
        ]
        assert torch.allclose(with_held(made, given, held)[0], torch.tensor(naive), atol=1e-4)


def test_of_a_linear_head_shares_are_what_its_branches_add() -> None:
    made, given = random_head(), inputs()
    z = made.standardised(*given)[0][0] * made.scale
    sizes = []
    for part in (range(3), range(3, 8)):
        adds = [sum((made.classifier.weight[c, i] * z[i]).item() for i in part) for c in range(4)]
        mean = sum(adds) / 4
        sizes.append(math.sqrt(sum((one - mean) ** 2 for one in adds)))
    naive = [size / sum(sizes) for size in sizes]
    assert branch_shares(made, given) == pytest.approx(naive, abs=1e-4)


@pytest.mark.parametrize("fusion", ["sum", "mean", "bilinear"])
def test_other_fusions_have_shares_of_one(fusion: str) -> None:
    made, given = random_head(fusion), inputs()
    measure = measure_of(made)
    assert measure and measure.of_image and measure.part == "branch"
    assert sum(measure.values(made, given)) == pytest.approx(1)


def test_attention_is_the_heads_own_and_excitement_the_mean_gate() -> None:
    given = inputs()
    attention = random_head("attention")
    measure = measure_of(attention)
    assert measure and measure.values(attention, given) == attention.weights(*given)[0].tolist()
    excite = random_head("se")
    x = excite.standardised(*given)[0]
    ratio = (excite.mix(x) / x)[0].tolist()
    measure = measure_of(excite)
    assert measure
    naive = [sum(ratio[:3]) / 3, sum(ratio[3:]) / 5]
    assert measure.values(excite, given) == pytest.approx(naive, abs=1e-4)


def test_rungs_are_what_each_gives_to_the_ladders_end() -> None:
    ladder = SideHead([(3,), (4,), (5,)], 2).eval()
    assert ladder.alphas is not None
    ladder.alphas.data = torch.tensor([0.7, -1.2])
    ends: list[Tensor] = []  # its blocks start as the identity
    ladder.classifier.register_forward_hook(lambda module, given, out: ends.extend(given))
    given = [torch.randn(1, shape[0]) for shape in ladder.shapes]
    ladder(*given)
    rungs = [p(n(x)) for p, n, x in zip(ladder.projections, ladder.norms, given, strict=True)]
    measure = measure_of(ladder)
    assert measure and not measure.of_image
    shares = measure.values(ladder, given)
    assert sum(shares) == pytest.approx(1)
    mixed = sum(share * rung for share, rung in zip(shares, rungs, strict=True))
    assert torch.allclose(torch.as_tensor(mixed), ends[0], atol=1e-5)


def test_of_a_cascade_the_member_that_answered_has_it_all() -> None:
    cascade = CascadeHead(3, 2)
    cascade.thresholds = torch.tensor([0.9, 0.6])
    unsure, sure = torch.tensor([[0.0, 0.1]]), torch.tensor([[0.0, 5.0]])
    measure = measure_of(cascade)
    assert measure
    assert measure.values(cascade, [sure, unsure, unsure]) == [1, 0, 0]
    assert measure.values(cascade, [unsure, sure, sure]) == [0, 1, 0]
    assert measure.values(cascade, [unsure, unsure, unsure]) == [0, 0, 1]


def test_a_wires_share_is_of_the_norms_at_its_join() -> None:
    composite = composed(head("label", "linear", "a:features", "b:features", classes=4))
    alone = composed(head("own", "tap", "b:layer1"), wired=False)
    given = {name: composite.state_dict()[name] for name in alone.state_dict()}
    alone.load_state_dict(given)
    caught: list[Tensor] = []
    adapters = composite.get_submodule("adapters")
    next(adapters.children()).register_forward_hook(lambda *given: caught.append(given[-1]))
    image = images(SIZE, 1)
    with torch.no_grad():
        trace = Trace(composite, image)
        assert torch.equal(trace.answers["label"], composite(image)["label"])
        every = strengths(composite, used_wires(composite), trace)
        own, arriving = alone(image)["own"].norm().item(), caught[0].norm().item()
    [found] = [one for one in every if one.part == "wire"]
    assert found.name == "a:layer1 → b:layer1" and found.of_image
    assert found.strength == pytest.approx(arriving / (own + arriving), abs=1e-3)


def test_who_has_an_answer_of_its_own() -> None:
    voting = composed(
        head("a_says", "linear", "a:features", classes=4),
        head("vote", "average", "heads:a_says", "b:logits"),
        wired=False,
    )
    with torch.no_grad():
        trace = Trace(voting, images(SIZE, 1))
        found = source_answers(voting, trace)
    assert [one.told for one in found.values()] == ["own", "own"]
    assert found["a"].logits is trace.answers["a_says"]
    assert found["b"].logits is trace.inputs["vote"][1]
    assert [one.strength for one in strengths(voting, used_wires(voting), trace)] == [0.5, 0.5]


def test_a_stitch_has_no_answer_of_its_front_alone() -> None:
    sources = tuple(SourceRef(name, "cifar_resnet20", classes=4) for name in "ab")
    joined = wire("a:layer1 -> b:layer1", "replace", start="one")
    label = head("label", "linear", "b:features", classes=4)
    stitched = compile_plan(Plan(SIZE, sources, (joined,), (label,))).eval()
    with torch.no_grad():
        trace = Trace(stitched, images(SIZE, 1))
        found = source_answers(stitched, trace)
        [wired] = strengths(stitched, used_wires(stitched), trace)
    assert found["a"].told == found["b"].told == "none"
    assert (wired.strength, wired.of_image) == (1.0, False)
    assert set(trace.maps) == {"a", "b"}


def test_networks_are_named_without_their_folders() -> None:
    assert short_name("cifar_resnet20@/home/me/w.safetensors") == "cifar_resnet20@w.safetensors"
    assert short_name("/home/me/runs/x") == "x" and short_name("timm/resnet18") == "timm/resnet18"


def test_evidence_is_read_where_the_last_convolution_left_it() -> None:
    """`custom16` ends in a convolution, a batch norm, an activation and a pooling to 2 x 2."""
    source = SourceRef("a", "custom16", classes=4)
    single = compile_plan(
        Plan(32, (source,), (), (head("label", "linear", "a:features", classes=4),))
    )
    with torch.no_grad():
        trace = Trace(single.eval(), images(32, 1))
    assert trace.maps["a"][1].shape[2:] == (4, 4)


def test_neither_map_nor_card_tells_where_files_lie(tmp_path: Path) -> None:
    weights = tmp_path / "secret" / "w.safetensors"
    weights.parent.mkdir()
    save_file(opened("cifar_resnet20", classes=4).module.state_dict(), weights)
    source = SourceRef("a", f"cifar_resnet20@{weights}", classes=4)
    single = compile_plan(
        Plan(SIZE, (source,), (), (head("label", "linear", "a:features", classes=4),))
    )
    pets = str(tmp_path / "secret" / "our pets")
    card = f"# x\n\n`{source.network}`\n* location: {pets}\n"
    noted = {"data": {"location": pets}}
    folder = save(tmp_path / "x", single, labels=LABELS, card=card, metrics=noted)
    served = open_served(folder, engine="torch")
    assert served.card == "# x\n\n`cifar_resnet20@w.safetensors`\n* location: our pets\n"
    assert served.explainer
    told = served.explainer.explain(np.zeros((3, SIZE, SIZE), np.uint8), 1, None)
    svg = served.explainer.map.svg
    assert "w.safetensors" in svg and told.sources[0].network == "cifar_resnet20@w.safetensors"
    assert "secret" not in svg + told.model_dump_json() + str(served.networks)
