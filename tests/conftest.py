"""Fixtures for every test: no network, a fixed seed, the way to real weights and real images."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from convgraft.data import open_images, split_images
from convgraft.training import Task

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPO = Path(__file__).parents[1]
OFFLINE = str(Path(__file__).parent / "offline")
sys.path[:0] = [str(Path(__file__).parent), OFFLINE]
# what tests start is kept from the network too, by offline/sitecustomize.py
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (OFFLINE, os.environ.get("PYTHONPATH"))))
# small networks gain nothing from more, and two test runs side by side lose a lot
torch.set_num_threads(1)


def pytest_configure() -> None:
    from no_network import block

    block()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a job in the background has it
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """A test that asked for another machine fails, also where the refusal was caught."""
    from no_network import attempts

    yield
    asked = attempts.copy()
    attempts.clear()
    assert asked == []


@pytest.fixture(scope="session", autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests do not touch the user's store, nor do the commands that they start."""
    os.environ["CONVGRAFT_CACHE"] = str(tmp_path_factory.mktemp("store"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _shared(variable: str, folder: str) -> Path:
    path = Path(os.environ.get(variable, REPO.parent / "shared" / folder))
    if not path.is_dir():
        pytest.skip(f"no folder {path}; set {variable}")
    return path


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """The folder of real pretrained weights."""
    return _shared("CONVGRAFT_WEIGHTS", "weights")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real image sets."""
    return _shared("CONVGRAFT_DATA", "data")


@pytest.fixture(scope="session")
def digits_task() -> Task:
    """A hundred training images of 8x8 digits, and all of the other parts."""
    images = open_images("digits")
    return Task(images, split_images(images, seed=0, limit=100), 8)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; tests skip where it, or what drives it, is not there."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=program, args=["--no-sandbox"], timeout=300_000
        )
        yield browser
        browser.close()
