"""Fusions against one sample and one branch at a time."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor, fx, nn

from convgraft.compose import check, compose
from convgraft.errors import PlanError
from convgraft.layers import FUSIONS, Fusion
from convgraft.plan import Head
from convgraft.sources import Source, source
from helpers import Tiny, head, images, plan_for

SHAPES = [(20, 4, 6), (7,), (12, 3, 9)]  # three branches that agree in nothing


def inputs(count: int, shapes: list[tuple[int, ...]] = SHAPES) -> list[Tensor]:
    """Branch values, each of another scale and mean."""
    return [3**k * torch.randn(count, *shape) + k for k, shape in enumerate(shapes)]


def fusion_of(kind: str, shapes: list[tuple[int, ...]] = SHAPES) -> Fusion:
    """A fusion in evaluation, its statistics far from where they start."""
    fusion = Fusion(shapes, kind)
    for norm in fusion.standardisers:
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 4)
    return fusion.eval()


def pooled_and_standardised(fusion: Fusion, branches: list[Tensor], n: int) -> list[Tensor]:
    """The branches of sample n as vectors, standardised number by number."""
    vectors, at = [], 0
    for branch in branches:
        numbers = []
        for c in range(branch.shape[1]):
            mean, var = fusion.norm.running_mean[at], fusion.norm.running_var[at]
            numbers.append((branch[n, c].mean() - mean) / (var + 1e-5).sqrt())
            at += 1
        vectors.append(torch.stack(numbers))
    return vectors


def projected(fusion: Fusion, vectors: list[Tensor]) -> list[Tensor]:
    layers = fusion.mix.project.layers
    return [layer.weight @ v + layer.bias for layer, v in zip(layers, vectors, strict=True)]


def concat(fusion: Fusion, vectors: list[Tensor]) -> Tensor:
    return torch.cat(vectors)


def total(fusion: Fusion, vectors: list[Tensor]) -> Tensor:
    return sum(projected(fusion, vectors), torch.zeros(20))


def attention(fusion: Fusion, vectors: list[Tensor]) -> Tensor:
    mix, branches = fusion.mix, projected(fusion, vectors)
    hidden = [torch.tanh(mix.hidden.weight @ x + mix.hidden.bias) for x in branches]
    scores = [math.exp(float(mix.score.weight[0] @ h)) for h in hidden]
    return sum(
        (s / sum(scores) * x for s, x in zip(scores, branches, strict=True)), torch.zeros(20)
    )


def excitation(fusion: Fusion, vectors: list[Tensor]) -> Tensor:
    mix, x = fusion.mix, torch.cat(vectors)
    hidden = (mix.squeeze.weight @ x + mix.squeeze.bias).clamp(min=0)
    assert len(hidden) == 4
    gates = mix.excite.weight @ hidden + mix.excite.bias
    return torch.stack(
        [number / (1 + math.exp(-gate)) for number, gate in zip(x, gates, strict=True)]
    )


NAIVE = {
    "concat": (concat, 39),
    "sum": (total, 20),
    "mean": (lambda fusion, vectors: total(fusion, vectors) / 3, 20),
    "attention": (attention, 20),
    "se": (excitation, 39),
}


@torch.no_grad()
@pytest.mark.parametrize("kind", NAIVE)
def test_each_sample_is_fused_as_the_formula_says(kind: str):
    naive, width = NAIVE[kind]
    fusion, branches = fusion_of(kind), inputs(4)
    fused = fusion(*branches)
    assert fused.shape == (4, width) and fusion.width == width
    for n in range(4):
        expected = naive(fusion, pooled_and_standardised(fusion, branches, n))
        torch.testing.assert_close(fused[n], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_bilinear_multiplies_at_each_position_of_the_smallest_map():
    shapes = [(6, 4, 6), (3,), (5, 2, 3)]
    fusion, branches = fusion_of("bilinear", shapes), inputs(4, shapes)
    standard = []
    for norm, x in zip(fusion.norm, branches, strict=True):
        mean, deviation = norm.running_mean, (norm.running_var + 1e-5).sqrt()
        standard.append((x.transpose(1, -1) - mean).div(deviation).transpose(1, -1))
    convolutions = [step[-1] for step in fusion.mix.steps]
    for n in range(4):
        pooled = torch.zeros(6)
        for row, column in product(range(2), range(3)):
            window = standard[0][n, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            values = [window.mean((1, 2)), standard[1][n], standard[2][n, :, row, column]]
            there = torch.ones(6)
            for conv, value in zip(convolutions, values, strict=True):
                there = there * (conv.weight[:, :, 0, 0] @ value + conv.bias)
            pooled += there / 6
        roots = torch.stack([p.sign() * p.abs().sqrt() for p in pooled])
        expected = roots / roots.norm() * math.sqrt(6)
        torch.testing.assert_close(fusion(*branches)[n], expected, rtol=1e-2, atol=1e-2)


def test_bilinear_has_a_scale_of_one_and_at_most_512_numbers():
    fusion = Fusion([(30, 3, 3), (700,)], "bilinear")
    assert fusion.width == 512
    branches = inputs(8, [(30, 3, 3), (700,)])
    rms = fusion(*branches).square().mean(1).sqrt()
    torch.testing.assert_close(rms, torch.ones(8), rtol=1e-2, atol=0)


def test_bilinear_has_a_finite_slope_at_zero():
    fusion = Fusion([(30, 3, 3), (70,)], "bilinear").eval()
    for step in fusion.mix.steps:
        nn.init.zeros_(step[-1].bias)
    zero, other = torch.zeros(2, 30, 3, 3, requires_grad=True), torch.randn(2, 70)
    result = fusion(zero, other)
    result.sum().backward()
    assert torch.equal(result, torch.zeros(2, 70))
    assert zero.grad is not None and zero.grad.isfinite().all() and zero.grad.abs().max() > 0


@torch.no_grad()
@pytest.mark.parametrize("kind", ["sum", "mean"])
def test_the_order_of_the_branches_does_not_matter_to_sums(kind: str):
    order = [2, 0, 1]
    fusion, turned = Fusion(SHAPES, kind), Fusion([SHAPES[k] for k in order], kind)
    for place, k in enumerate(order):
        layers = fusion.mix.project.layers[k].state_dict()
        turned.mix.project.layers[place].load_state_dict(layers)
    branches = inputs(5)
    result = turned(*[branches[k] for k in order])
    torch.testing.assert_close(result, fusion(*branches), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_weights_of_attention_are_shares_of_each_sample():
    fusion, branches = fusion_of("attention"), inputs(6)
    weights = fusion.weights(*branches)
    assert weights.shape == (6, 3) and weights.min() > 0
    torch.testing.assert_close(weights.sum(1), torch.ones(6))
    assert weights.std(0).min() > 0
    fusion.mix.score.weight.zero_()
    torch.testing.assert_close(fusion.weights(*branches), torch.full((6, 3), 1 / 3))
    with pytest.raises(TypeError, match="attention"):
        fusion_of("mean").weights(*branches)


@pytest.mark.parametrize("kind", FUSIONS)
def test_gradients_reach_every_branch_and_weight(kind: str):
    fusion, branches = Fusion(SHAPES, kind), [x.requires_grad_() for x in inputs(6)]
    (fusion(*branches) * torch.randn(6, fusion.width)).sum().backward()
    for value in [*branches, *fusion.parameters()]:
        assert value.grad is not None and value.grad.isfinite().all()
        assert value.grad.abs().max() > 0


@pytest.mark.parametrize("kind", FUSIONS)
@pytest.mark.parametrize("shapes", [SHAPES, [(5,), (9,)], [(6, 3, 3), (6, 3, 3)]])
def test_one_image_alone_is_as_in_a_batch(kind: str, shapes: list[tuple[int, ...]]):
    fusion, branches = fusion_of(kind, shapes), inputs(4, shapes)
    alone = fusion(*[x[1:2] for x in branches])
    torch.testing.assert_close(alone, fusion(*branches)[1:2], rtol=1e-4, atol=1e-5)
    assert fusion.train()(*[x[:2] for x in branches]).isfinite().all()


@pytest.mark.parametrize("kind", FUSIONS)
@pytest.mark.parametrize("training", [False, True])
def test_can_be_traced_through(kind: str, training: bool):
    fusion = fusion_of(kind).train(training)
    branches = inputs(4)
    graph = fx.Tracer().trace(Named(fusion))
    assert not any(str(node.target) == "fusion" for node in graph.nodes)
    traced = fx.GraphModule(Named(fusion), graph)
    torch.testing.assert_close(traced(*branches), fusion(*branches))


class Named(nn.Module):
    """A fusion of three branches; fx needs to know how many there are."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return self.fusion(a, b, c)


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    """Two sources with 8 and 6 channels."""
    return {"a": source(Tiny(), size=16), "b": source(Tiny(width=6, seed=1), size=16)}


WRONG = {
    "unknown": (
        head("h", "linear", "a:bn", classes=5, fusion="atention"),
        'no fusion called "atention"', "did you mean attention",
    ),
    "unknown for a vote": (
        head("h", "average", "a:fc", "b:fc", fusion="men"), 'no fusion called "men"', "mean",
    ),
    "a vote": (
        head("h", "average", "a:fc", "b:fc", fusion="sum"), "a average head takes no fusion",
        "linear or mlp",
    ),
    "one value": (head("h", "identity", "a:fc", fusion="se"), "takes no fusion", "found: se"),
    "a side network": (
        head("h", "side", "a:bn", "b:bn", classes=5, fusion="mean"), "a side head takes no fusion",
        "found: mean",
    ),
    "bilinear of one": (
        head("h", "linear", "a:bn", classes=5, fusion="bilinear"), "joins several inputs",
        "expected: 2 or more\n  found: 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_plan_is_told_what_is_wrong_with_its_fusion(what: str, sources: dict[str, Source]):
    wrong, words, details = WRONG[what]
    with pytest.raises(PlanError) as caught:
        check(plan_for(sources, heads=[wrong], size=16), sources)
    (problem,) = caught.value.problems
    assert problem.where == "heads.h"
    assert words in problem.what
    assert details in str(problem)


def heads_of(sources: dict[str, Source]) -> list[Head]:
    rows = [head(f"h_{k}", "linear", "a:bn", "b:fc", classes=5, fusion=k) for k in FUSIONS]
    return [*rows, head("h_side", "side", "a:bn", "a:fc", "b:conv2", classes=5)]


@pytest.mark.parametrize("training", [False, True])
def test_every_fusion_and_the_side_network_answer_in_a_composite(
    training: bool, sources: dict[str, Source]
):
    plan = plan_for(sources, heads=heads_of(sources), size=16)
    answers = compose(plan, sources).train(training)(images(16))
    assert {name: answer.shape for name, answer in answers.items()} == {
        head.name: (2, 5) for head in plan.heads
    }
