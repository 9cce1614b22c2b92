"""Small image sets, plans and weights on disk, made once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

COLOURS = {"blue": (20, 30, 220), "green": (20, 210, 40), "red": (220, 30, 20)}


def write_pictures(folder: Path, per_class: int = 12, *, size: int = 20) -> Path:
    """Noisy pictures of one colour per class; easy to tell apart."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            noise = rng.integers(-20, 20, (size, size, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a cifar_resnet20 with ten classes."""
    from safetensors.torch import save_file

    from convgraft.sources import source

    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_file(source("cifar_resnet20").module.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the pictures, with baselines."""
    from helpers_cli import convgraft

    folder = tmp_path_factory.mktemp("runs") / "one"
    outcome = convgraft(
        "fit", pictures, "--models", "cifar_resnet20", "cifar_resnet20", "--image-size", 16,
        "--epochs", 2, "--batch-size", 8, "--baselines", "--out", folder, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (folder.parent / "one.json").write_text(outcome.out)
    return folder
