"""Heads against formulas written out."""

import pytest
import torch
from torch import nn

from convgraft.layers import FUSIONS, HEADS, AverageHead, DenseHead, Fusion, IdentityHead


@pytest.mark.parametrize("count", [1, 2, 5])
def test_average_is_the_mean_of_the_probabilities(count: int):
    logits = [5 * torch.randn(6, 4) for _ in range(count)]
    mean = torch.zeros(6, 4)
    for one in logits:
        mean += one.softmax(1) / count
    result = AverageHead()(*logits)
    torch.testing.assert_close(result.softmax(1), mean)
    torch.testing.assert_close(result.exp(), mean)  # the logits are log-probabilities already


def test_average_of_extreme_logits_is_finite():
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    assert AverageHead()(logits, logits.flip(0)).softmax(1).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_identity_gives_the_logits():
    logits = torch.randn(3, 4)
    assert torch.equal(IdentityHead()(logits), logits)


def test_linear_pools_standardises_and_classifies():
    head = DenseHead([(3, 4, 4), (2,)], classes=5).eval()
    head.norm.running_mean.uniform_()
    head.norm.running_var.uniform_(0.5, 2)
    feature_map, vector = torch.rand(2, 3, 4, 4), torch.rand(2, 2)
    rows = []
    for n in range(2):
        pooled = [feature_map[n, c].mean() for c in range(3)]
        features = torch.stack([*pooled, *vector[n]])
        standard = (features - head.norm.running_mean) / (head.norm.running_var + 1e-5).sqrt()
        rows.append(head.classifier.weight @ standard + head.classifier.bias)
    torch.testing.assert_close(head(feature_map, vector), torch.stack(rows))


def test_linear_standardises_over_the_batch_while_training():
    head = DenseHead([(3,)], classes=2).train()
    x = 100 * torch.rand(8, 3) + 7
    standard = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(head(x), head.classifier(standard))


def test_mlp_has_relu_between_its_layers():
    head = DenseHead([(3,)], classes=2, hidden=[7, 4], dropout=0.5).eval()
    x = torch.rand(5, 3)
    features = head.norm(x)
    features = nn.functional.linear(features, head.layers.dense0.weight, head.layers.dense0.bias)
    features = features.clamp(min=0)
    features = nn.functional.linear(features, head.layers.dense1.weight, head.layers.dense1.bias)
    features = features.clamp(min=0)
    torch.testing.assert_close(head(x), head.classifier(features))
    assert head.layers.dense1.weight.shape == (4, 7)


def test_a_wide_head_reads_its_features_at_a_total_variance_of_256():
    head = DenseHead([(1024,)], classes=3).train()
    read: list[torch.Tensor] = []
    head.classifier.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    head(7 * torch.randn(64, 1024) + 2)
    assert read[0].var(0, unbiased=False).sum().item() == pytest.approx(256, rel=1e-3)
    assert DenseHead([(64,), (64,)], classes=3).scale == 1


def test_a_new_classifier_begins_at_equal_probabilities():
    head = DenseHead([(512,)], classes=5).train()
    probabilities = head(torch.randn(64, 512)).softmax(1)
    assert (probabilities - 0.2).abs().max() < 0.03
    assert head.classifier.weight.any()  # not exactly: features get a gradient from the first step


@pytest.mark.parametrize("hidden", [(), (16,)])
def test_dropout_acts_while_training_alone(hidden: tuple[int, ...]):
    head = DenseHead([(8,)], classes=2, hidden=hidden, dropout=0.5)
    x = torch.rand(16, 8)
    assert not torch.equal(head.train()(x), head(x))
    assert torch.equal(head.eval()(x), head(x))


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("hidden", [(), (6,)])
def test_dense_layers_follow_any_fusion(fusion: str, hidden: tuple[int, ...]):
    shapes = [(3, 4, 4), (5, 2, 2)]
    head = DenseHead(shapes, classes=4, hidden=hidden, fusion=fusion).train()
    inputs = [torch.rand(6, *shape) for shape in shapes]
    head(*inputs).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in head.mix.parameters())
    fused = Fusion.forward(head.eval(), *inputs)
    assert fused.shape == (6, head.width)
    torch.testing.assert_close(head(*inputs), head.classifier(head.layers(fused)))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_standardisers_are_all_that_keeps_statistics(fusion: str):
    head = DenseHead([(3, 4, 4), (5,)], classes=4, fusion=fusion)
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    assert set(head.standardisers) == {m for m in head.modules() if isinstance(m, norms)}
    assert all(norm.weight is None for norm in head.standardisers)
    assert {id(b) for n in head.standardisers for b in n.buffers()} == set(map(id, head.buffers()))


def test_a_concatenation_keeps_the_names_of_its_weights():
    names = ["running_mean", "running_var", "num_batches_tracked"]
    expected = [f"norm.{name}" for name in names] + ["classifier.weight", "classifier.bias"]
    assert list(DenseHead([(3,), (2,)], classes=4).state_dict()) == expected


@pytest.mark.parametrize("kind", HEADS)
def test_every_kind_gives_one_number_per_class(kind: str):
    row = HEADS[kind]
    shapes = [(4,), (4,)] if row.many else [(4,)]
    head = row.build(shapes, 4, (6,) if row.hidden else (), 0.0, "concat")
    assert head(*(torch.rand(3, *shape) for shape in shapes)).shape == (3, 4)
    assert row.learns == bool(list(head.parameters()))
