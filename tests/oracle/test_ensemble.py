"""Votes of untrained ensembles, against the average of softmaxes written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from convgraft.compose import Composite, compose, keep_answers
from convgraft.data import load_pixels, open_images
from convgraft.layers.votes import VOTE_KINDS
from convgraft.sources import Source, source
from convgraft.strategies import Ingredients
from convgraft.strategies.ensemble import vote_plan
from convgraft.training import answers
from helpers import images, opened, run, run_alone


def composed(sources: dict[str, Source], *votes: str, size: int = 32) -> Composite:
    given = Ingredients(sources, size, next(iter(sources.values())).classes)
    return compose(vote_plan(given, votes), sources).eval()


def untrained() -> dict[str, Source]:
    return {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet32", seed=1)}


def by_hand(sources: dict[str, Source], image: Tensor) -> list[Tensor]:
    return [run_alone(one, image, training=False) for one in sources.values()]


def test_the_average_of_probabilities() -> None:
    sources, image = untrained(), images(count=4)
    found = run(composed(sources, "average"), image, training=False)
    first, second = by_hand(sources, image)
    mean = (torch.softmax(first, 1) + torch.softmax(second, 1)) / 2
    torch.testing.assert_close(found["label"].exp(), mean)
    torch.testing.assert_close(found["a"], first)
    torch.testing.assert_close(found["b"], second)


def test_other_votes_stand_beside_the_answer_and_do_not_change_it() -> None:
    sources, image = untrained(), images(count=4)
    network = composed(sources, "logits", *(kind for kind in VOTE_KINDS if kind != "logits"))
    found = run(network, image, training=False)
    first, second = by_hand(sources, image)
    torch.testing.assert_close(found["label"].softmax(1), ((first + second) / 2).softmax(1))
    assert network.plan.answer == "label"
    alone = keep_answers(network, ("label",))
    torch.testing.assert_close(run(alone, image, training=False)["label"], found["label"])
    assert not [name for name, _ in alone.named_modules() if name == "heads.stack"]


def test_two_real_networks_agree_with_the_hand_written_average(
    shared_weights: Path, shared_data: Path
) -> None:
    pytest.importorskip("pyarrow")
    names = {"a": "cifar_resnet20", "b": "cifar_resnet32"}
    sources = {
        k: source(f"{n}@{shared_weights}/{n.replace('cifar', 'cifar100')}.safetensors")
        for k, n in names.items()
    }
    data = open_images(shared_data / "cifar100" / "test.parquet", target="fine_label")
    pixels = load_pixels(data, 32, indices=range(0, 10_000, 40))
    found = answers(composed(sources, "average"), pixels.images)["label"].softmax(1)
    with torch.no_grad():
        outputs = [run_alone(one, pixels.images, training=False) for one in sources.values()]
    mean = sum(logits.softmax(1) for logits in outputs) / 2
    torch.testing.assert_close(found, mean, rtol=1e-3, atol=1e-5)
    top1 = [int((x.argmax(1) == pixels.labels).sum()) for x in (found, *outputs)]
    assert top1[0] > max(top1[1:])
