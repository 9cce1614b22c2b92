"""The classifier in closed form, against its formula and on classes that lines tell apart."""

from __future__ import annotations

import numpy as np
import torch

from convgraft.studies.closed_classifier import fit_classifier


def test_it_is_ridge_regression_of_one_hot_targets() -> None:
    features = torch.randn(60, 4) * torch.tensor([1.0, 10, 0.1, 3]) + 5
    labels = torch.arange(60) % 3
    found = fit_classifier(features, labels)
    x = features.double().numpy()
    z = (x - x.mean(0)) / x.std(0)
    targets = np.eye(3)[labels]
    centred = targets - targets.mean(0)
    weight = np.linalg.solve(z.T @ z + found.penalty * np.eye(4), z.T @ centred)
    expected = z @ weight + targets.mean(0)
    np.testing.assert_allclose(found.logits(features).numpy(), expected, atol=1e-8)


def test_it_tells_classes_apart_that_it_has_not_seen() -> None:
    centres = 4 * torch.randn(5, 8)
    labels = torch.randint(0, 5, (400,))
    features = centres[labels] + torch.randn(400, 8)
    found = fit_classifier(features[:300], labels[:300])
    right = found.logits(features[300:]).argmax(1) == labels[300:]
    assert right.float().mean() > 0.9


def test_dead_features_and_few_images_are_no_trouble() -> None:
    features, labels = torch.randn(6, 20), torch.tensor([0, 1, 0, 1, 2, 2])
    features[:, 3] = 1.0
    assert fit_classifier(features, labels).logits(features).isfinite().all()
