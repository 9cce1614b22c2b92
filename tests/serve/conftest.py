"""A small run with wires, a head of one network's own and a fused head; and pictures to show it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from convgraft.compose import Composite
from convgraft.export import Run, load, save
from convgraft.opening import compile_plan
from convgraft.plan import Head, Plan, SourceRef
from convgraft.serve import Limits
from convgraft.serve.access import Access
from convgraft.serve.app import create_app
from convgraft.serve.served import Served, open_served
from convgraft.serve.service import Service
from helpers import head, wire

SIZE = 16
LABELS = ("cat", "dog & bone", "<b>fish</b>", "bird")
CLIENT = "http://localhost"


def composed(*heads: Head, wired: bool = True, seed: int = 0) -> Composite:
    """Two CIFAR ResNets with random weights, statistics and gates, in evaluation mode."""
    sources = tuple(SourceRef(name, "cifar_resnet20", classes=4) for name in "ab")
    wires = (wire("a:layer1 -> b:layer1"),) if wired else ()
    made = compile_plan(Plan(SIZE, sources, wires, heads), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    state = made.state_dict()
    for name, value in state.items():
        if "running_mean" in name or name.endswith("gate.scale"):
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
        if "classifier" in name:
            value.copy_(torch.randn(value.shape, generator=generator))
    made.load_state_dict(state)
    return made.eval()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mixed"
    composite = composed(
        head("own_a", "linear", "a:features", classes=4),
        head("label", "linear", "a:features", "b:features", classes=4),
    )
    return save(folder, composite, labels=LABELS, card="# mixed\n\nA card.\n")


@pytest.fixture(scope="session")
def run(run_folder: Path) -> Run:
    return load(run_folder)


@pytest.fixture(scope="session")
def served(run_folder: Path) -> Served:
    return open_served(run_folder, engine="torch", threads=1)


@pytest.fixture
def client(served: Served) -> Iterator[TestClient]:
    with asking(served) as opened:
        yield opened


@contextmanager
def asking(
    served: Served, limits: Limits | None = None, access: Access | None = None
) -> Iterator[TestClient]:
    """A client in this process; what the server does not foresee is raised here."""
    app = create_app(Service(served, limits), access)
    with TestClient(app, base_url=CLIENT) as opened:
        yield opened


def picture(seed: int = 0, size: tuple[int, int] = (40, 30), form: str = "PNG") -> bytes:
    """A file of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    """Files in a form, as the client takes them."""
    return [("images", (f"{number}.png", data)) for number, data in enumerate(contents)]
