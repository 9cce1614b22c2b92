"""Predicted stitches: a network stitched to itself loses nothing, one to noise loses all."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from convgraft.data import Pixels, load_pixels, open_images, split_images
from convgraft.match import Matching, match_taps, stage_ends
from convgraft.match.stitches import Stitch
from convgraft.sources import Source, source
from convgraft.strategies import Ingredients
from convgraft.studies.stitch_prediction import (
    StitchPredictor,
    better_than_chance,
    fit_classifier,
)
from convgraft.training.closed_form import PENALTIES
from convgraft.zoo.networks import CifarResNet
from helpers import small

SIZE = 16


@cache
def digits() -> Pixels:
    images = open_images("digits")
    chosen = split_images(images, seed=0, limit=200).train
    return load_pixels(images, SIZE, indices=chosen)


@cache
def knowing() -> Source:
    """A small network whose own classifier was fitted to digits, so that it knows the classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CifarResNet(8, 10).eval()
    pixels = digits()
    taken: list[Tensor] = []
    hook = network.fc.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    with torch.no_grad():
        network(small().preprocessing.build()(pixels.images))
        features = torch.cat([taken[0], torch.ones(len(pixels), 1)], 1).double()
        targets = nn.functional.one_hot(pixels.labels, 10).double()
        penalty = 1e-3 * torch.eye(features.shape[1], dtype=torch.float64)
        solved = torch.linalg.solve(features.T @ features + penalty, features.T @ targets)
        network.fc.weight.copy_(solved[:-1].T)
        network.fc.bias.copy_(solved[-1])
    hook.remove()
    own = small().preprocessing
    return source(network, mean=own.mean, std=own.std)


def predictor(left: Source, right: Source, *, knows: bool) -> StitchPredictor:
    given = Ingredients({"a": left, "b": right}, SIZE, 10)
    taps = [stage_ends(given.surveys[name].taps) for name in given.sources]
    images = digits().images
    matching: Matching = match_taps(left, right, images, *taps, image_size=SIZE)
    return StitchPredictor(matching, given, images, digits().labels, {"a": knows, "b": knows})


@pytest.mark.parametrize("knows", [False, True])
def test_a_network_stitched_to_itself_loses_nothing(knows: bool) -> None:
    given = predictor(knowing(), knowing(), knows=knows)
    for backward in (False, True):
        found = given.predict(Stitch(1, 1, backward))
        assert found.classifier == ("own" if knows else "ridge")
        assert found.images == 40
        assert found.alone > 0.5
        assert abs(found.points) <= 2.5  # one image of forty
        assert (found.front, found.back) == (("b", "a") if backward else ("a", "b"))


def test_it_is_the_accuracy_of_the_stitch_on_held_out_images_alone() -> None:
    """By hand: the second network up to its stage, replaced by the map of the first one's."""
    given = predictor(small(1), knowing(), knows=True)
    found = given.predict(Stitch(1, 1))
    ridge = given.matching.adapter(1, 1)
    held = torch.arange(4, len(digits()), 5)
    front, back = small(1).module.eval(), knowing().module.eval()
    shown: list[Tensor] = []
    hooks = [
        front.get_submodule("layer2").register_forward_hook(lambda *a: shown.append(a[2])),
        back.get_submodule("layer2").register_forward_hook(
            lambda *_: (
                torch.einsum("oc,nchw->nohw", ridge.weight.float(), shown[0])
                + ridge.bias.float()[:, None, None]
            )
        ),
    ]
    with torch.no_grad():
        front(small(1).preprocessing.build()(digits().images[held]))
        logits = back(knowing().preprocessing.build()(digits().images[held]))
    for hook in hooks:
        hook.remove()
    right = logits.argmax(1) == digits().labels[held]
    assert found.stitched == pytest.approx(right.float().mean().item())
    assert found.points == pytest.approx(100 * (found.stitched - found.alone))


def test_a_classifier_no_better_than_chance_is_not_asked() -> None:
    found = predictor(small(), small(1), knows=True).predict(Stitch(2, 2))
    assert found.classifier == "ridge"
    assert found.alone > 0.2


def test_images_without_a_label_are_not_judged() -> None:
    given = predictor(knowing(), small(1), knows=True)
    labels = digits().labels.clone()
    labels[4::10] = -1
    partly = StitchPredictor(given.matching, given.given, given.images, labels, given.knows)
    assert partly.predict(Stitch(0, 0)).images == 20


def test_what_guessing_will_hardly_reach() -> None:
    assert better_than_chance(torch.arange(100) % 10) == pytest.approx(0.1 + 3 * 0.03)
    assert better_than_chance(torch.zeros(0, dtype=torch.int64)) == 1.0


def test_the_classifier_is_ridge_regression_on_standardised_features() -> None:
    """Every penalty refitted without each image; the best is as good as the classifier's."""
    features = torch.randn(40, 4).double() * torch.tensor([1.0, 10, 0.1, 3]) + 5
    labels = torch.arange(40) % 3
    found = fit_classifier(features, labels, 3)
    z = (features - features.mean(0)) / (features.var(0) + 1e-5).sqrt()
    targets = nn.functional.one_hot(labels, 3).double()

    def fit(rows: Tensor, strength: float) -> Tensor:
        """Answers of a regression fitted to those rows, for all images."""
        x, y = z[rows], targets[rows]
        gram = (x - x.mean(0)).T @ (x - x.mean(0)) + strength * torch.eye(4)
        weight = torch.linalg.solve(gram, (x - x.mean(0)).T @ (y - y.mean(0)))
        return y.mean(0) + (z - x.mean(0)) @ weight

    def error(strength: float) -> float:
        left = [fit(torch.arange(40) != i, strength)[i] - targets[i] for i in range(40)]
        return torch.stack(left).square().mean().item()

    total = z.square().sum().item() / 40
    strengths = [total * penalty for penalty in PENALTIES]
    best = fit(torch.arange(40) >= 0, min(strengths, key=error))
    torch.testing.assert_close(found(features), best)


def test_the_classifier_tells_classes_apart_that_it_has_not_seen() -> None:
    centres = 4 * torch.randn(5, 8)
    labels = torch.randint(0, 5, (1500,))
    features = centres[labels] + torch.randn(1500, 8)
    found = fit_classifier(features[:1400], labels[:1400], 5)
    right = found(features[1400:].double()).argmax(1) == labels[1400:]
    assert right.float().mean() > 0.9


def test_dead_features_and_few_images_are_no_trouble() -> None:
    features, labels = torch.randn(6, 20), torch.tensor([0, 1, 0, 1, 2, 2])
    features[:, 3] = 1.0
    assert fit_classifier(features, labels, 3)(features.double()).isfinite().all()
