"""Closed-form ridge against fits that are made again and again."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import Ridge

from convgraft.training.closed_form import Kernel, Scores, solve


def data(count: int = 24, width: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    centres = torch.randn(3, width, generator=drawn)
    train = 2 * centres[labels] + torch.randn(count, width, generator=drawn) * 3 + 5
    val = torch.randn(9, width, generator=drawn) + 5
    return train, val, labels


def test_scores_are_those_of_scikit_learn_and_held_out_ones_of_refitting() -> None:
    train, val, labels = data()
    found = solve(Kernel.of(train, val), labels, 3)
    mean, deviation = train.double().mean(0), (train.double().var(0) + 1e-5).sqrt()
    x, y = (((part.double() - mean) / deviation).numpy() for part in (train, val))
    targets = np.eye(3)[labels.numpy()]
    penalty = found.penalty * (x @ x.T).trace() / len(x)
    whole = Ridge(alpha=penalty).fit(x, targets)
    np.testing.assert_allclose(found.val.numpy(), whole.predict(y), atol=1e-9)
    for left_out in range(len(x)):
        others = np.arange(len(x)) != left_out
        fit = Ridge(alpha=penalty).fit(x[others], targets[others])
        answer = fit.predict(x[left_out : left_out + 1])[0]
        np.testing.assert_allclose(found.held_out[left_out].numpy(), answer, atol=1e-8)


def test_the_penalty_has_the_least_leave_one_out_error() -> None:
    noise = torch.randn(40, 30, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(40) % 2
    told = noise.clone()
    told[:, 0] += 20 * labels
    assert solve(Kernel.of(noise, noise), labels, 2).penalty > 1
    assert solve(Kernel.of(told[:, :1], told[:, :1]), labels, 2).penalty < 0.1


def test_kernels_of_concatenated_features_add_up() -> None:
    train, val, _ = data()
    whole = Kernel.of(train, val)
    parts = Kernel.total(
        Kernel.of(train[:, part], val[:, part]) for part in ([0, 3], [1, 2, 4, 5, 6])
    )
    torch.testing.assert_close(whole.train, parts.train)
    torch.testing.assert_close(whole.val, parts.val)


def test_constant_features_say_nothing() -> None:
    train, val, _ = data()
    more = [torch.cat([part, torch.full((len(part), 1), 4.0)], 1) for part in (train, val)]
    torch.testing.assert_close(Kernel.of(*more).val, Kernel.of(train, val).val)


def test_an_average_is_the_mean_answer() -> None:
    one, other = (Scores(torch.full((2, 3), v), torch.full((1, 3), v), 1.0) for v in (1.0, 3.0))
    assert Scores.average([one, other]).val.tolist() == [[2.0, 2.0, 2.0]]
