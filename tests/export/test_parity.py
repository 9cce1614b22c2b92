"""What an export is held to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers_runs import Case, pictures, run_of
from torch import Tensor

from convgraft.errors import RunError
from convgraft.export import Run
from convgraft.export.parity import check_agreement


@pytest.fixture(scope="module")
def run(real_images: Tensor) -> Run:
    return run_of(Case("multitask"), real_images)


def exact(run: Run, images: Tensor) -> list[np.ndarray]:
    with torch.no_grad():
        logits = run.composite(images)
    found = []
    for answer in (run.plan.answer, "kind_"):
        chances = logits[answer].softmax(1).numpy()
        found += [chances, chances.argmax(1)]
    return found


def test_an_exact_file_agrees_on_every_image(run: Run, real_images: Tensor) -> None:
    def answers(images: np.ndarray) -> list[np.ndarray]:
        return exact(run, torch.from_numpy(images))

    found = check_agreement(run, answers, layout="nchw", pictures=pictures(real_images))
    assert (found.images, found.differing) == (100, 0)
    assert found.probabilities < 1e-6
    assert "100 images (a test)" in str(found)


def test_differences_are_measured_as_a_naive_loop_does(run: Run, real_images: Tensor) -> None:
    scale = np.random.default_rng(0).uniform(1 - 4e-5, 1 + 4e-5, (100, 4)).astype(np.float32)
    chances = exact(run, real_images)
    chances[0] = chances[0] * scale

    def answers(images: np.ndarray) -> list[np.ndarray]:
        start = next(n for n in range(100) if (real_images[n].numpy() == images[0]).all())
        rows = slice(start, start + len(images))
        return [values[rows] for values in chances]

    found = check_agreement(run, answers, layout="nchw", pictures=pictures(real_images))
    with torch.no_grad():
        logs = run.composite(real_images)["label"].double().log_softmax(1).numpy()
    widest, apart = 0.0, 0.0
    for row, logits in zip(chances[0], logs, strict=True):
        for chance, log in zip(row, logits, strict=True):
            widest = max(widest, abs(float(chance) - np.exp(log)))
            apart = max(apart, abs(np.log(float(chance)) - log))
    assert found.probabilities == pytest.approx(widest, rel=1e-6)
    assert found.logits == pytest.approx(apart, rel=1e-6)


@pytest.mark.parametrize("wrong", [2e-4, float("nan")])
def test_output_and_image_that_are_off_are_named(
    run: Run, real_images: Tensor, wrong: float
) -> None:
    def answers(images: np.ndarray) -> list[np.ndarray]:
        found = exact(run, torch.from_numpy(images))
        off = (images == real_images[42].numpy()).all((1, 2, 3))
        found[2][off] += wrong
        return found

    with pytest.raises(RunError, match='probabilities_kind of image "42"') as told:
        check_agreement(run, answers, layout="nchw", pictures=pictures(real_images))
    assert "1 of 100 images are off" in str(told.value)


def test_logits_count_where_probabilities_are_too_small_to_tell(real_images: Tensor) -> None:
    run = run_of(Case("probe"), real_images, count=1)
    with torch.no_grad():
        run.composite.get_submodule("heads.label.classifier").get_parameter("bias")[0] = -25.0

    def answers(images: np.ndarray) -> list[np.ndarray]:
        chances = run.probabilities(torch.from_numpy(images)).numpy()
        chances[:, 0] *= 1.01
        return [chances, chances.argmax(1)]

    with pytest.raises(RunError, match="logits of the main answer"):
        check_agreement(run, answers, layout="nchw", pictures=pictures(real_images))
