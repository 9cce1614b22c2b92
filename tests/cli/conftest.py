"""Small image sets, plans and weights on disk, made once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from helpers_cli import write_pictures

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
