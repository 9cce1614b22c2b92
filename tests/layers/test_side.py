"""The side network against its ladder, written out rung by rung."""

import pytest
import torch
from torch import Tensor, nn

from convgraft.layers import SideHead

SHAPES = [(6, 4, 4), (5,), (9, 2, 3)]


def inputs(count: int) -> list[Tensor]:
    return [3**k * torch.randn(count, *shape) + k for k, shape in enumerate(SHAPES)]


def rungs(head: SideHead, branches: list[Tensor]) -> list[Tensor]:
    """Every tap pooled, standardised over the batch and projected."""
    result = []
    for k, branch in enumerate(branches):
        x = branch.flatten(2).mean(2) if branch.dim() == 4 else branch
        x = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
        result.append(x @ head.projections[k].weight.T + head.projections[k].bias)
    return result


def test_it_starts_as_a_running_average_of_its_taps():
    head, branches = SideHead(SHAPES, classes=4), inputs(7)
    p = rungs(head, branches)
    side = 0.25 * p[0] + 0.25 * p[1] + 0.5 * p[2]
    assert side.shape == (7, 128)
    torch.testing.assert_close(head(*branches), head.classifier(side), rtol=1e-4, atol=1e-5)


def test_it_climbs_by_its_gates_and_blocks():
    head, branches = SideHead(SHAPES, classes=4), inputs(7)
    head.alphas.data = torch.tensor([2.0, -1.0])
    for block in head.blocks:
        nn.init.normal_(block.layers[-1].weight, std=0.1)
    p = rungs(head, branches)
    side = added(head, 0, p[0])
    for i in (1, 2):
        gate = 1 / (1 + torch.exp(-head.alphas[i - 1]))
        side = added(head, i, gate * side + (1 - gate) * p[i])
    torch.testing.assert_close(head(*branches), head.classifier(side), rtol=1e-4, atol=1e-5)


def added(head: SideHead, number: int, x: Tensor) -> Tensor:
    norm, first, _, last = head.blocks[number].layers
    hidden = nn.functional.gelu(first(norm(x)))
    return x + hidden @ last.weight.T + last.bias


def test_the_order_of_its_taps_counts():
    head = SideHead([(3,), (3,)], classes=2)
    first, second = torch.randn(5, 3), torch.randn(5, 3)
    head.alphas.data += 1
    assert not torch.allclose(head(first, second), head(second, first))


def test_everything_learns_after_a_first_step():
    head, branches = SideHead(SHAPES, classes=4), [x.requires_grad_() for x in inputs(6)]
    optimiser = torch.optim.SGD(head.parameters(), 0.1)
    for _ in range(2):
        optimiser.zero_grad()
        nn.functional.cross_entropy(head(*branches), torch.arange(6) % 4).backward()
        optimiser.step()
    for name, weight in head.named_parameters():
        assert weight.grad is not None and weight.grad.abs().max() > 0, name
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in branches)


@pytest.mark.parametrize("shapes", [SHAPES, [(6, 4, 4)]])
def test_one_image_alone_is_as_in_a_batch(shapes: list[tuple[int, ...]]):
    head = SideHead(shapes, classes=4, dropout=0.5).train()
    branches = [torch.randn(4, *shape) for shape in shapes]
    head(*branches)
    head.eval()
    alone = head(*[x[2:3] for x in branches])
    torch.testing.assert_close(alone, head(*branches)[2:3])


def test_dropout_acts_while_training_alone():
    head, branches = SideHead(SHAPES, classes=4, dropout=0.5), inputs(6)
    assert not torch.equal(head.train()(*branches), head(*branches))
    assert torch.equal(head.eval()(*branches), head(*branches))


def test_its_standardisers_are_all_that_keeps_statistics():
    head = SideHead(SHAPES, classes=4)
    assert [norm.num_features for norm in head.standardisers] == [6, 5, 9]
    assert {id(b) for n in head.standardisers for b in n.buffers()} == set(map(id, head.buffers()))
    assert all(norm.weight is None for norm in head.standardisers)


def test_it_can_be_traced_through():
    class Named(nn.Module):
        def __init__(self, head: SideHead) -> None:
            super().__init__()
            self.head = head

        def forward(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
            return self.head(a, b, c)

    network, branches = Named(SideHead(SHAPES, classes=4)).eval(), inputs(3)
    traced = torch.fx.symbolic_trace(network)
    assert not any(str(node.target) == "head" for node in traced.graph.nodes)
    torch.testing.assert_close(traced(*branches), network(*branches))
