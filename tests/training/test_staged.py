"""A cascade run in stages answers as its head does, and runs only what it must."""

from __future__ import annotations

import pytest
import torch

from convgraft.compose import Composite, compose, cost, keep_answers
from convgraft.errors import UsageError
from convgraft.training import answers
from convgraft.training.staged import staged_answers
from helpers import head, images, opened, plan_for


def cascade(first: str = "heads:a") -> Composite:
    sources = {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet20", seed=1)}
    heads = [
        head("a", "identity", "a:fc"),
        head("b", "identity", "b:fc"),
        head("mean", "average", "heads:a", "heads:b"),
        head("label", "cascade", first, "heads:b", "heads:mean"),
    ]
    return compose(plan_for(sources, heads=heads, size=16), sources).eval()


def with_thresholds(network: Composite, pixels: torch.Tensor) -> Composite:
    """Thresholds between the probabilities that half of the images reach, and the next."""
    found = answers(network, pixels)
    for place, name in enumerate("ab"):
        sure = found[name].softmax(1).amax(1).sort().values
        middle = (sure[len(sure) // 2] + sure[len(sure) // 2 - 1]) / 2
        network.get_submodule("heads.label").thresholds[place] = middle  # type: ignore[index]
    return network


@pytest.mark.parametrize("first", ["heads:a", "a:fc"])
def test_the_answers_are_the_heads(first: str) -> None:
    pixels = images(16, 30)
    network = with_thresholds(cascade(first), pixels)
    result = staged_answers(network, pixels, batch_size=8)
    expected = answers(network, pixels)
    torch.testing.assert_close(result.logits, expected["label"], rtol=1e-5, atol=1e-5)
    assert [stage.images for stage in result.stages][:2] == [30, 15]
    assert 0 < result.stages[2].images < 15
    sure = expected["b"].softmax(1).amax(1) >= network.get_submodule("heads.label").thresholds[1]  # type: ignore[index]
    first_sure = (
        expected["a"].softmax(1).amax(1) >= network.get_submodule("heads.label").thresholds[0]
    )  # type: ignore[index]
    assert result.stages[2].images == int((~sure & ~first_sure).sum())


def test_costs_are_counted_by_who_ran() -> None:
    pixels = images(16, 30)
    network = with_thresholds(cascade(), pixels)
    result = staged_answers(network, pixels)
    macs = [cost(keep_answers(network, (name,))).macs for name in ("a", "b", "mean")]
    assert [stage.macs for stage in result.stages] == macs
    assert result.macs_of_all == sum(macs)
    spent = sum(stage.images * m for stage, m in zip(result.stages, macs, strict=True))
    assert result.macs_per_image == pytest.approx(spent / 30)
    assert list(result.shares) == ["a", "b", "mean"]
    assert result.seconds > 0


def test_later_members_do_not_run_where_all_is_sure() -> None:
    network = cascade()
    network.get_submodule("heads.label").thresholds.zero_()  # type: ignore[operator]
    pixels = images(16, 5)
    result = staged_answers(network, pixels)
    assert [stage.images for stage in result.stages] == [5, 0, 0]
    torch.testing.assert_close(result.logits, answers(network, pixels)["a"].log_softmax(1))


def test_a_vote_that_is_no_cascade_is_refused() -> None:
    with pytest.raises(UsageError, match="no confidence cascade"):
        staged_answers(cascade(), images(16, 2), answer="mean")
