"""Networks whose heads are solved: what they answer, against running them and scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from convgraft.cache import Cache
from convgraft.data import open_images, split_images
from convgraft.strategies import Ingredients
from convgraft.studies import build_arm
from convgraft.studies.search.features import all_features
from convgraft.studies.search.networks import subsets
from convgraft.studies.search.predict import Predictor
from convgraft.studies.search.solved import Solver
from convgraft.studies.search.space import CLOSED, Candidate
from convgraft.training import Task, answers, evaluate
from convgraft.training.closed_form import weights_of
from helpers import same, small

IMAGES = open_images("digits")
SPLIT = split_images(IMAGES, seed=0, limit=60)
GIVEN = Ingredients({name: small(seed) for seed, name in enumerate("ab")}, 8, 10)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    cache = Cache(tmp_path_factory.mktemp("solved"), 2**30)
    task = Task(IMAGES, replace(SPLIT, val=SPLIT.val[:40]), 8, cache=cache)
    return Predictor(GIVEN, all_features(GIVEN, task, lambda *_: None), task)


@pytest.mark.parametrize("way", [way.name for way in CLOSED])
def test_the_network_scores_what_was_said_of_it(way: str, predictor: Predictor) -> None:
    names = tuple("ab")[: 1 if way == "ridge-probe" else 2]
    given = replace(GIVEN, sources={name: GIVEN.sources[name] for name in names})
    arm = build_arm(Candidate(way, names).design, given)
    found = Solver(predictor).train(arm)
    measured = evaluate(found.composite, predictor.task.pixels("val"))[found.composite.plan.answer]
    assert found.notes["val"] == pytest.approx(measured.top1)
    predicted = {str(one.candidate): one for one in predictor.predict(subsets("ab"))}
    assert measured.top1 == pytest.approx(
        predicted[arm.name].val, abs=3 / 40 if way == "ridge-ensemble" else 1e-9
    )
    assert measured.nll < np.log(10)
    assert found.notes["trainable"] == sum(
        weight.numel() for name, weight in found.composite.named_parameters() if "heads" in name
    )
    own = GIVEN.sources["a"].module.state_dict()
    kept = found.composite.state_dict()
    assert all(same(kept[f"sources.a.{n}"], t) for n, t in own.items() if f"sources.a.{n}" in kept)


def test_logits_are_a_ridge_regression_on_standardised_taps(predictor: Predictor) -> None:
    arm = build_arm(Candidate("ridge-ladder", ("a", "b")).design, GIVEN)
    found = Solver(predictor).train(arm)
    (head,) = arm.plan.heads
    raw = [
        torch.cat([predictor.features[r.source].values[p][r.tap] for r in head.inputs], 1).double()
        for p in ("train", "val")
    ]
    mean, variance = raw[0].mean(0), raw[0].var(0)
    x, y = ((part - mean) / (variance + 1e-5).sqrt() for part in raw)
    penalty = found.notes["closed_form"]["penalties"]["label"] * x.square().sum().item() / len(x)
    targets = np.eye(10)[predictor.task.pixels("train").labels.numpy()]
    naive = Ridge(alpha=penalty).fit(x.numpy(), targets).predict(y.numpy())
    logits = answers(found.composite, predictor.task.pixels("val").images)["label"].double().numpy()
    scale = np.linalg.lstsq(naive.reshape(-1, 1), logits.reshape(-1), rcond=None)[0].item()
    np.testing.assert_allclose(logits, naive * scale, rtol=1e-2, atol=2e-3 * scale)


@pytest.mark.parametrize("width", [5, 50])
def test_both_forms_are_the_same_regression(width: int) -> None:
    x = torch.randn(20, width, generator=torch.Generator().manual_seed(0)).double() + 3
    labels = torch.arange(20) % 4
    weight, bias = weights_of(x, labels, 4, 0.1)
    centred = x - x.mean(0)
    penalty = 0.1 * centred.square().sum().item() / 20
    naive = Ridge(alpha=penalty).fit(x.numpy(), np.eye(4)[labels.numpy()])
    np.testing.assert_allclose(weight.numpy(), naive.coef_, atol=1e-9)
    np.testing.assert_allclose(bias.numpy(), naive.intercept_, atol=1e-9)
