"""To the Hugging Face Hub and back, through huggingface_hub's own functions.

Nothing here runs unless somebody asks for it. What comes from the Hub is a stranger's: only files
of an artifact are fetched, none is unpickled or run, and they are checked before they are in place.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import convgraft
from convgraft.errors import ArtifactError, ConvgraftError, RunError, UsageError
from convgraft.export.hub.check import ATTRIBUTES, HUB_FILES, check_artifact, check_size
from convgraft.export.hub.extra import check_name, hub_library
from convgraft.export.hub.folder import check_new
from convgraft.opening.runs import RUN_FILES
from convgraft.plan import Plan
from convgraft.plan.shown import shown_name

LOG_IN = "hf auth login, or the variable HF_TOKEN"
FETCHED = tuple(name for name in HUB_FILES if name != ATTRIBUTES)
BLOBS_ABOVE = "snapshots"  # the Hub's cache: snapshots/COMMIT/FILE is a link to blobs/DIGEST


@dataclass(frozen=True)
class Pulled:
    """What came from the Hub.

    Attributes:
        path: the folder, now a run like any other.
        plan: what it is made of.
        commit: the commit it is from.
        files: size in bytes by name.
        ignored: files of the repository that were not fetched, as they can be printed.
    """

    path: Path
    plan: Plan
    commit: str
    files: Mapping[str, int]
    ignored: tuple[str, ...]


def connect() -> Any:
    """The Hub's client; raises UsageError where huggingface_hub is not installed."""
    hub = hub_library()
    return hub.HfApi(library_name="convgraft", library_version=convgraft.__version__)


def check_login() -> None:
    """Raise UsageError where nobody is logged in here; the Hub is not asked."""
    with asking("the Hub"):
        token = hub_library().get_token()
    if not token:
        raise UsageError("you are not logged in to the Hub", hint=LOG_IN)


def push(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
) -> str:
    """Upload a hub folder as one commit, making the repository where there is none; gives its URL.

    Files of an artifact that the repository has and the folder has not are deleted there: an old
    `model.onnx` beside new weights would answer for another network. Others are left alone.

    Args:
        folder: as `hub_folder` writes it.
        repo: OWNER/NAME.
        private: make a private repository; a public one that is there already is refused.
        revision: a branch, made where there is none.
    """
    check_name(repo)
    check_artifact(folder)
    check_login()
    hub = connect()
    with asking(repo):
        made = hub.create_repo(repo, exist_ok=True, **({"private": True} if private else {}))
        name = getattr(made, "repo_id", repo)
        if private and not hub.model_info(name).private:
            raise UsageError(f'"{name}" is there already, and public', hint="another name")
        if revision and not revision.startswith("refs/"):
            hub.create_branch(name, branch=revision, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=name,
            folder_path=str(folder),
            revision=revision,
            commit_message=message or f"convgraft {convgraft.__version__}: {name}",
            allow_patterns=list(HUB_FILES),
            delete_patterns=[file for file in HUB_FILES if not (folder / file).is_file()],
        )
    return str(getattr(commit, "commit_url", commit))


def pull(repo: str, out: Path, *, revision: str | None = None) -> Pulled:
    """Fetch an artifact into a new folder, which appears whole or not at all.

    The Hub's own cache keeps what was fetched. Raises ArtifactError where the repository holds no
    artifact, before anything large is fetched, or one whose files do not belong together.
    """
    check_name(repo)
    check_new(out)
    hub = connect()
    with asking(repo):
        info = hub.model_info(repo, revision=revision, files_metadata=True)
    listed = {file.rfilename: file.size for file in info.siblings or ()}
    sizes = _check_listed(repo, listed)
    with asking(repo):
        found = hub.snapshot_download(repo, revision=info.sha, allow_patterns=list(sizes))
    plan = _put_in_place(Path(found), out, sizes)
    files = {name: (out / name).stat().st_size for name in sizes}
    ignored = sorted(listed.keys() - sizes.keys() - {ATTRIBUTES})
    return Pulled(out, plan, info.sha, files, tuple(map(shown_name, ignored)))


def _check_listed(repo: str, listed: Mapping[str, int | None]) -> dict[str, int | None]:
    """The files of an artifact among those that a repository lists, with sizes."""
    missing = [name for name in RUN_FILES if name not in listed]
    if missing:
        raise ArtifactError(
            f'"{repo}" holds no artifact of convgraft',
            expected=", ".join(RUN_FILES),
            found=f"no {', no '.join(missing)}",
        )
    sizes = {name: listed[name] for name in FETCHED if name in listed}
    for name, size in sizes.items():
        check_size(name, size or 0)
    return sizes


def _put_in_place(found: Path, out: Path, sizes: Mapping[str, int | None]) -> Plan:
    """Check what was fetched, copy it (the cache holds links) and let it appear at once."""
    for name, size in sizes.items():
        came = (found / name).stat().st_size if (found / name).is_file() else None
        if came is None or came != (came if size is None else size):
            raise RunError(
                f"{name} did not come whole",
                expected=f"{size} bytes",
                found="nothing" if came is None else f"{came} bytes",
                hint=f'the same command again, without "{found}"',
            )
    within = found.parent.parent if found.parent.name == BLOBS_ABOVE else found
    plan = check_artifact(found, within=within)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as above:
        folder = Path(above) / out.name
        folder.mkdir()
        for name in sizes:
            shutil.copyfile(found / name, folder / name)
        if out.is_dir():
            out.rmdir()
        folder.replace(out)
    return plan


@contextmanager
def asking(repo: str) -> Iterator[None]:
    """Whatever goes wrong while the Hub is asked, told in words, without a traceback."""
    try:
        yield
    except (ConvgraftError, KeyboardInterrupt):
        raise
    except Exception as error:  # of huggingface_hub, its HTTP library or its transfer library
        raise _told(repo, error) from error


def _told(repo: str, error: Exception) -> ConvgraftError:
    errors = hub_library("errors")
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return UsageError(f'"{repo}" asks for an agreement first', hint="agree on its page")
    if isinstance(error, errors.RepositoryNotFoundError):
        what = f'the Hub has no repository "{repo}", or you may not see it'
        return UsageError(what, hint=f"its name; where it is private, {LOG_IN}")
    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(f'"{repo}" has no such revision', hint="a branch, tag or commit")
    if isinstance(error, errors.LocalTokenNotFoundError) or status == 401:
        return UsageError("the Hub does not know who you are", hint=LOG_IN)
    if status == 403:
        return UsageError(f'you may not do that in "{repo}"', hint="a token that may write")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return RunError("the Hub was not asked: HF_HUB_OFFLINE is set", hint="unset HF_HUB_OFFLINE")
    first = re.sub(r"\s+", " ", str(error)).strip()[:300]
    return RunError(
        "the Hub could not be asked",
        found=f"{type(error).__name__}: {first}" if first else type(error).__name__,
        hint="the same command again, once there is a connection",
    )
