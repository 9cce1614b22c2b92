"""A Hub in memory, with a cache of links to blobs as on disk, and a run that knows of places."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from safetensors.torch import save_file

from convgraft.export import save
from convgraft.opening import compile_plan
from convgraft.plan import Head, Plan, SourceRef, TapRef
from convgraft.sources import source

tap = TapRef.parse


@dataclass
class FakeHub:
    """The five functions of `HfApi` that convgraft uses, by the same names and arguments."""

    cache: Path
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    branches: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    downloads: list[tuple[str, ...]] = field(default_factory=list)
    fails: Exception | None = None

    def _ask(self) -> None:
        if self.fails is not None:
            raise self.fails

    def create_repo(self, repo_id: str, *, private: bool = False, exist_ok: bool = False) -> Any:
        self._ask()
        assert exist_ok
        if repo_id not in self.repos:
            self.repos[repo_id] = {".gitattributes": b"as the Hub made it\n"}
            self.private |= {repo_id} if private else set()
        return SimpleNamespace(repo_id=repo_id)

    def create_branch(self, repo_id: str, *, branch: str, exist_ok: bool = False) -> None:
        assert repo_id in self.repos and exist_ok
        self.branches.append(branch)

    def upload_folder(
        self,
        *,
        repo_id: str,
        folder_path: str,
        revision: str | None,
        commit_message: str,
        allow_patterns: Sequence[str],
        delete_patterns: Sequence[str],
    ) -> Any:
        self._ask()
        held = self.repos[repo_id]
        for name in [n for n in held if any(fnmatch(n, p) for p in delete_patterns)]:
            held.pop(name)
        for file in Path(folder_path).iterdir():
            if any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                held[file.name] = file.read_bytes()
        self.messages.append(commit_message)
        return SimpleNamespace(
            commit_url=f"https://hub.test/{repo_id}/commit/{self.commit(repo_id)}"
        )

    def commit(self, repo_id: str) -> str:
        digest = hashlib.sha1()
        for name, content in sorted(self.repos[repo_id].items()):
            digest.update(name.encode() + content)
        return digest.hexdigest()

    def model_info(
        self, repo_id: str, *, revision: str | None = None, files_metadata: bool = False
    ) -> Any:
        self._ask()
        files = self.repos[repo_id].items()
        siblings = [SimpleNamespace(rfilename=name, size=len(data)) for name, data in files]
        return SimpleNamespace(
            sha=self.commit(repo_id),
            siblings=siblings if files_metadata else None,
            private=repo_id in self.private,
        )

    def snapshot_download(
        self, repo_id: str, *, revision: str, allow_patterns: Sequence[str]
    ) -> str:
        self._ask()
        assert revision == self.commit(repo_id), "what was listed is what is fetched"
        self.downloads.append(tuple(allow_patterns))
        home = self.cache / f"models--{repo_id.replace('/', '--')}"
        snapshot = home / "snapshots" / revision
        for folder in (home / "blobs", snapshot):
            folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.repos[repo_id].items():
            if any(fnmatch(name, pattern) for pattern in allow_patterns):
                blob = home / "blobs" / hashlib.sha256(content).hexdigest()
                blob.write_bytes(content)
                (snapshot / name).unlink(missing_ok=True)
                (snapshot / name).symlink_to(Path("..") / ".." / "blobs" / blob.name)
        return str(snapshot)


def place_run(place: Path, *, nested: bool = False) -> Path:
    """A run that names files below `place` everywhere; nested: one of its sources is a run too."""
    place.mkdir(parents=True)
    save_file(dict(source("cifar_resnet20").module.state_dict()), place / "w.safetensors")
    sources = [SourceRef("a", f"cifar_resnet20@{place / 'w.safetensors'}", 10)]
    inputs = [tap("a:features")]
    if nested:
        inner = compile_plan(Plan(8, (replace(sources[0], name="q"),))).eval()
        save(place / "runs" / "inner", inner, labels=[str(number) for number in range(10)])
        sources.append(SourceRef("b", str(place / "runs" / "inner")))
        inputs.append(tap("b:sources.q.flatten"))
    head = Head("label", "mlp", tuple(inputs), 3, (8,), 0.1)
    network = compile_plan(Plan(8, tuple(sources), heads=(head,)))
    run = save(place / "runs" / "outer", network, labels="xyz", metrics=_metrics(place))
    (run / "split.csv").write_text("# convgraft split\nid,part\ncats/one.png,train\n")
    (run / "command.json").write_text(json.dumps([{"command": f"convgraft fit {place}"}]))
    (run / "predictions").mkdir()
    return run


def _metrics(place: Path) -> dict[str, Any]:
    figures = {"images": 40, "top1": 0.875, "balanced": 0.8, "nll": 0.5, "ece": float("nan")}
    row = {"arm": "parallel", "test": figures, "parameters": 9, "macs": 9, "seconds": 1.0}
    return {
        "data": {"location": f"{place}/pictures", "broken_images": ["cats/half.png"]},
        "fit": {"strategy": "parallel", "epochs": 7},
        "members": {"a": f"cifar_resnet20@{place}/w.safetensors"},
        "note": "seen in /var/tmp/9f/cats, once",
        "test": {"label": figures},
        "rows": [row],
        "finished": True,
    }


def tampered(file: Path, old: str, new: str) -> None:
    """Put another text in place of one that stands in a file."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
