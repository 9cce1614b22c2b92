"""`convgraft push` and `pull`, as a user sees them; no network."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from helpers_cli import convgraft

from convgraft.export import load
from convgraft.export.hub import transfer as hub_transfer
from helpers_hub import FakeHub, place_run

REPO = "ann/pets"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one network."""
    return place_run(tmp_path_factory.mktemp("home") / "ann")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The Hub, and somebody who is logged in to it."""
    fake = FakeHub(tmp_path / "cache")
    monkeypatch.setattr(hub_transfer, "connect", lambda: fake)
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    return fake


def test_a_dry_run_says_what_would_be_sent_and_needs_no_login(
    run: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    before = sorted(run.rglob("*"))
    outcome = convgraft("push", run, REPO, "--dry-run")
    assert outcome.code == 0, outcome.err
    for name in ("README.md", "model.safetensors", "plan.yaml", "config.json"):
        assert name in outcome.out
    assert re.search(r"model\.safetensors +│ +1,\d{3},\d{3} ", outcome.out), outcome.out
    assert "nothing was sent" in outcome.err
    assert "-> pictures" in outcome.err, "what was changed is said"
    assert "split.csv" in outcome.err and "split.csv" not in outcome.out
    assert not hub.repos and sorted(run.rglob("*")) == before


def test_push_and_pull_through_the_command_line(
    run: Path, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = convgraft(
        "push", run, REPO, "--private", "--message", "one", "--license", "mit",
        "--dataset", "ann/pictures", "--dataset", "ann/more", "--out", tmp_path / "kept",
    )  # fmt: skip
    assert sent.code == 0, sent.err
    assert f"https://hub.test/{REPO}/commit/" in sent.out
    assert hub.messages == ["one"] and hub.private == {REPO}
    card = hub.repos[REPO]["README.md"].decode()
    assert "license: mit" in card and "- ann/more" in card and "# pets" in card
    assert (tmp_path / "kept" / "README.md").read_text() == card
    fetched = convgraft("pull", REPO, "--out", tmp_path / "out")
    assert fetched.code == 0, fetched.err
    assert "README.md" in fetched.out and f"written to {tmp_path}/out; next: " in fetched.err
    assert load(tmp_path / "out").labels == ("x", "y", "z")
    monkeypatch.chdir(tmp_path)
    assert convgraft("pull", REPO).code == 0
    assert (tmp_path / "runs" / "pets" / "model.safetensors").is_file()
    again = convgraft("pull", REPO)
    assert again.code == 2 and "there already" in again.err


def test_wrong_use_is_told_in_words(run: Path, hub: FakeHub, tmp_path: Path) -> None:
    cases = {
        ("push", tmp_path / "none", REPO): "there is no run",
        ("push", run, "a/b/c"): "a/b/c",
        ("push", run, REPO, "--license", "My Own"): "My Own",
        ("pull", "not a name"): "not a name",
    }
    for arguments, words in cases.items():
        outcome = convgraft(*arguments)
        assert outcome.code == 2 and words in outcome.err, arguments
        assert "Traceback" not in outcome.err
    hub.fails = ConnectionError("no route")
    outcome = convgraft("pull", REPO, "--out", tmp_path / "out")
    assert outcome.code == 1 and "could not be asked" in outcome.err
    assert "Traceback" not in outcome.err and not (tmp_path / "out").exists()


def test_who_is_not_logged_in_waits_for_nothing(
    run: Path, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    broken = Path(shutil.copytree(run, tmp_path / "copy"))
    (broken / "model.safetensors").unlink()
    outcome = convgraft("push", broken, REPO)
    assert outcome.code == 2 and "not logged in" in outcome.err
