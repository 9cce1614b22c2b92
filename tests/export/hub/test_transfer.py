"""Push and pull through one seam, a Hub in memory: what is sent, fetched and refused."""

from __future__ import annotations

import inspect
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import errors

from convgraft.errors import ArtifactError, ConvgraftError, RunError, UsageError
from convgraft.export import load
from convgraft.export.hub import transfer as hub_transfer
from convgraft.export.hub.folder import hub_folder
from convgraft.export.hub.transfer import pull, push
from convgraft.plan import read_plan
from helpers_hub import FakeHub, place_run, tampered

REPO = "ann/pets"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub folder."""
    above = tmp_path_factory.mktemp("pushed")
    return hub_folder(place_run(above / "home"), above / "pets").path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The Hub, and somebody who is logged in to it."""
    fake = FakeHub(tmp_path / "cache")
    monkeypatch.setattr(hub_transfer, "connect", lambda: fake)
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    return fake


def http_error(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    """An error as it comes from the Hub's own functions."""
    import httpx

    answer = httpx.Response(status, request=httpx.Request("GET", "https://hub.test"))
    return kind(f"{status} Client Error", response=answer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    ["create_repo", "create_branch", "upload_folder", "model_info", "snapshot_download"],
)
def test_the_hub_of_these_tests_is_called_as_the_real_one(name: str) -> None:
    from huggingface_hub import HfApi

    ours = inspect.signature(getattr(FakeHub, name)).parameters
    theirs = inspect.signature(getattr(HfApi, name)).parameters
    assert ours.keys() <= theirs.keys()


def test_there_and_back_is_the_same_network(hub: FakeHub, folder: Path, tmp_path: Path) -> None:
    url = push(folder, REPO, message="first")
    assert url == f"https://hub.test/{REPO}/commit/{hub.commit(REPO)}"
    assert hub.messages == ["first"]
    out = tmp_path / "runs" / "pets"
    pulled = pull(REPO, out)
    assert pulled.commit == hub.commit(REPO) and pulled.path == out
    assert {file.name for file in out.iterdir()} == pulled.files.keys()
    assert not any(file.is_symlink() for file in out.iterdir())
    for name in pulled.files:
        assert (out / name).read_bytes() == (folder / name).read_bytes(), name
    assert pulled.plan == read_plan(folder / "plan.yaml")
    assert [entry.name for entry in out.parent.iterdir()] == ["pets"]


def test_a_folder_of_the_hubs_cache_loads_as_it_is(hub: FakeHub, folder: Path) -> None:
    push(folder, REPO)
    snapshot = Path(hub.snapshot_download(REPO, revision=hub.commit(REPO), allow_patterns=["*.*"]))
    assert (snapshot / "plan.yaml").is_symlink()
    loaded = load(snapshot)
    assert loaded.labels == ("x", "y", "z")
    assert loaded.probabilities(torch.zeros(1, 3, 8, 8)).shape == (1, 3)


def test_a_push_deletes_old_parts_of_an_artifact_and_nothing_else(
    hub: FakeHub, folder: Path
) -> None:
    old = {"model.onnx": b"of other weights", "split.csv": b"", "NOTES.txt": b"mine"}
    hub.repos[REPO] = dict(old)
    push(folder, REPO)
    assert hub.repos[REPO].keys() == {"NOTES.txt", *(file.name for file in folder.iterdir())}


def test_what_lies_beside_an_artifact_is_not_sent(
    hub: FakeHub, folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "secret.pth").write_bytes(b"")
    (copy / "predictions").mkdir()
    push(copy, REPO)
    assert "secret.pth" not in hub.repos[REPO]


def test_a_private_repository_is_private_or_nothing_is_sent(hub: FakeHub, folder: Path) -> None:
    push(folder, REPO, private=True)
    assert hub.private == {REPO}
    hub.create_repo("ann/open", exist_ok=True)
    with pytest.raises(UsageError, match="public"):
        push(folder, "ann/open", private=True)
    assert hub.repos["ann/open"].keys() == {".gitattributes"}


def test_a_branch_is_made_and_a_pull_request_is_not(hub: FakeHub, folder: Path) -> None:
    push(folder, REPO, revision="small")
    push(folder, REPO, revision="refs/pr/3")
    assert hub.branches == ["small"]


def test_without_a_token_nothing_is_asked(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(UsageError, match="not logged in") as caught:
        push(folder, REPO)
    assert "HF_TOKEN" in str(caught.value) and not hub.repos


def test_only_files_of_an_artifact_are_fetched_and_no_pickle_is_opened(
    hub: FakeHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(folder, REPO)
    hub.repos[REPO] |= {
        "pytorch_model.bin": pickle.dumps(print),
        "sub/plan.yaml": b"[",
        "x.pkl": b"",
    }
    monkeypatch.setattr(pickle, "load", None)
    monkeypatch.setattr(torch, "load", None)
    pulled = pull(REPO, tmp_path / "out")
    assert pulled.ignored == ("pytorch_model.bin", "sub/plan.yaml", "x.pkl")
    assert set(hub.downloads[-1]) == pulled.files.keys()
    home = hub.cache / "models--ann--pets"
    assert pickle.dumps(print) not in [blob.read_bytes() for blob in (home / "blobs").iterdir()]


def test_a_repository_of_something_else_is_refused_before_it_is_fetched(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.repos[REPO] = {"model.safetensors": b"0" * 1000, "config.json": b"{}"}
    with pytest.raises(ArtifactError, match="holds no artifact") as caught:
        pull(REPO, tmp_path / "out")
    assert caught.value.found == "no plan.yaml, no labels.json, no metrics.json"
    hub.repos[REPO] |= {"plan.yaml": b" " * 1_000_001, "labels.json": b"{}", "metrics.json": b"{}"}
    with pytest.raises(ArtifactError, match=r"plan\.yaml is too large"):
        pull(REPO, tmp_path / "out")
    assert not hub.downloads


def test_a_hostile_repository_leaves_nothing_behind(
    hub: FakeHub, folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    push(copy, REPO)
    tampered(copy / "plan.yaml", "dropout: 0.1", "dropout: 0.2")
    hub.repos[REPO]["plan.yaml"] = (copy / "plan.yaml").read_bytes()
    with pytest.raises(ArtifactError, match="do not belong together"):
        pull(REPO, tmp_path / "runs" / "out")
    assert not (tmp_path / "runs").exists()


def test_a_link_out_of_the_cache_is_refused(
    hub: FakeHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(folder, REPO)
    secret = tmp_path / "secret.json"
    secret.write_bytes(hub.repos[REPO]["metrics.json"])
    fetch = hub.snapshot_download

    def with_link(*args, **options) -> str:
        snapshot = Path(fetch(*args, **options))
        (snapshot / "metrics.json").unlink()
        (snapshot / "metrics.json").symlink_to(secret)
        return str(snapshot)

    monkeypatch.setattr(hub, "snapshot_download", with_link)
    with pytest.raises(ArtifactError, match="leads out of its folder"):
        pull(REPO, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_was_cut_off_is_named(
    hub: FakeHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(folder, REPO)
    fetch = hub.snapshot_download

    def cut_off(*args, **options) -> str:
        snapshot = Path(fetch(*args, **options))
        with (snapshot / "model.safetensors").open("rb+") as file:
            file.truncate(100)
        return str(snapshot)

    monkeypatch.setattr(hub, "snapshot_download", cut_off)
    with pytest.raises(RunError, match=r"model\.safetensors did not come whole"):
        pull(REPO, tmp_path / "out")


def test_a_place_in_use_is_refused_before_the_hub_is_asked(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(ArtifactError, match="there already"):
        pull(REPO, tmp_path)


@pytest.mark.parametrize("name", ["a/b/c", "hf://a/b", "../b", "a--b/c", "", "a/b.git"])
def test_names_are_checked_by_the_hubs_own_rules(hub: FakeHub, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a repository"):
        pull(name, tmp_path / "out")


FAILURES: dict[str, tuple[Exception, str, int]] = {
    "no repository": (http_error(errors.RepositoryNotFoundError, 404), "has no repository", 2),
    "gated": (http_error(errors.GatedRepoError, 403), "asks for an agreement", 2),
    "no revision": (http_error(errors.RevisionNotFoundError, 404), "no such revision", 2),
    "no token": (errors.LocalTokenNotFoundError("x"), "does not know who you are", 2),
    "bad token": (http_error(errors.HfHubHTTPError, 401), "does not know who you are", 2),
    "forbidden": (http_error(errors.HfHubHTTPError, 403), "may not do that", 2),
    "down": (http_error(errors.HfHubHTTPError, 503), "could not be asked", 1),
    "offline": (errors.OfflineModeIsEnabled("x"), "HF_HUB_OFFLINE", 1),
    "no connection": (ConnectionError("[Errno -3]\n name resolution"), "could not be asked", 1),
    "not in the cache": (errors.LocalEntryNotFoundError("x"), "could not be asked", 1),
    "transfer": (RuntimeError("Data processing error"), "could not be asked", 1),
}


@pytest.mark.parametrize("case", FAILURES)
@pytest.mark.parametrize("way", ["push", "pull"])
def test_whatever_fails_is_told_in_words(
    hub: FakeHub, folder: Path, tmp_path: Path, case: str, way: str
) -> None:
    hub.fails, words, code = FAILURES[case]
    with pytest.raises(ConvgraftError, match=words) as caught:
        push(folder, REPO) if way == "push" else pull(REPO, tmp_path / "out")
    assert caught.value.exit_code == code
    assert "\n\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
