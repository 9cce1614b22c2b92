"""Commands over hostile folders: an error and exit code 2, never a traceback, nothing run."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from hostile_case import Case, Payload, Place
from hostile_runs import CODE, ESCAPES, sign
from PIL import Image

from convgraft.cli.main import main
from convgraft.errors import ArtifactError, UsageError
from convgraft.export.checksums import CHECKSUMS
from convgraft.export.hub import transfer

COMMANDS = {
    "predict": ("predict", "RUN", "picture.png"),
    "evaluate": ("evaluate", "RUN", "digits"),
    "report": ("report", "RUN", "--out", "page.html"),
    "export": ("export", "RUN", "--format", "onnx"),
    "profile": ("profile", "RUN"),
    "optimize": ("optimize", "RUN"),
    "explain": ("explain", "RUN"),
    "serve": ("serve", "RUN", "--port", "0"),
    "ensemble": ("ensemble", "RUN", "RUN", "--data", "digits", "--out", "vote"),
    "fit": ("fit", "digits", "--models", "RUN", "RUN", "--out", "fitted"),
    "taps": ("taps", "RUN"),
}
MOVES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def command_cases(run: Path) -> Iterator[Case]:
    """Every command over a run that wants to run code; then what it prints of hostile names."""
    for name, command in COMMANDS.items():
        for what, network in (
            ("code", "python:evil_network:build"),
            ("code after a space", "' python:evil_network:build'"),
        ):
            yield Case(f"{name} over a run with {what}", _code_attack(run, command, network))
    yield Case("weights with a pickle, typed", _pickled_weights, "w.pth")
    for what, change in (("class", _hostile_labels), ("column", _hostile_column)):
        attack = _printing(run, change, COMMANDS["predict"])
        yield Case(f"predict with a {what} that moves the cursor", attack, may_pass=True)
    attack = _printing(run, _hostile_source, COMMANDS["predict"])
    yield Case("an error about a name that moves the cursor", attack, may_pass=True)
    for what, names in _listings().items():
        yield Case(f"a repository with {what}", _pull_attack(run, names), may_pass=True)


def _listings() -> dict[str, tuple[str, ...]]:
    return {
        "names that climb": ("../../outside/evil", "/outside/evil", "a/../../evil"),
        "code beside an artifact": ("model.py", "handler.py", "pytorch_model.bin", "setup.py"),
        "names that move the cursor": (ESCAPES,),
    }


def _run(*command: str) -> str:
    """What a command prints; raises UsageError or what else it was, as its exit code tells."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main(list(command))
            code = 0
        except SystemExit as ended:
            code = ended.code
    told = out.getvalue()
    if moved := MOVES.search(told):
        raise AssertionError(f"{moved[0]!r} reached the terminal: {told[:200]!r}")
    if code == 2:
        raise UsageError(told, hint="as it says")
    if code:
        raise AssertionError(f"exit code {code}: {told}")
    return told


def _placed(run: Path, place: Place, command: tuple[str, ...]) -> list[str]:
    shutil.copytree(run, place.inside / "run")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(place.inside / "picture.png")
    return ["run" if word == "RUN" else word for word in command]


def _code_attack(run: Path, command: tuple[str, ...], network: str) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        words = _placed(run, place, command)
        code = CODE.replace("MARKER", repr(str(place.marker)))
        (place.inside / "evil_network.py").write_text(code)
        plan = place.inside / "run" / "plan.yaml"
        plan.write_text(plan.read_text().replace("filters/box", network))
        sign(place.inside / "run")
        _run(*words)

    return attack


def _pickled_weights(place: Place) -> None:
    torch.save({"filter.weight": Payload(place.marker)}, place.inside / "w.pth")
    _run("taps", f"filters/box@{place.inside / 'w.pth'}")


def _printing(
    run: Path, change: Callable[[Path], None], command: tuple[str, ...]
) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        words = _placed(run, place, command)
        (place.inside / "run" / CHECKSUMS).unlink()
        change(place.inside / "run")
        _run(*words)

    return attack


def _hostile_labels(folder: Path) -> None:
    escaped = ESCAPES.replace("\x1b", "\\u001b").replace("\x07", "\\u0007")
    labels = f'{{"classes": ["{escaped}", "{escaped}2", "{escaped}3"]}}'
    (folder / "labels.json").write_text(labels)


def _hostile_column(folder: Path) -> None:
    escaped = ESCAPES.replace("\x1b", "\\u001b").replace("\x07", "\\u0007")
    labels = f'{{"classes": ["x", "y", "z"], "columns": {{"{escaped}": ["a"]}}}}'
    (folder / "labels.json").write_text(labels)


def _hostile_source(folder: Path) -> None:
    plan = folder / "plan.yaml"
    plan.write_text(plan.read_text().replace("filters/box", r'"\e[2J\e]0;mine\a"'))


class _Hub:
    """A Hub with one repository: a run, and files of other names."""

    def __init__(self, run: Path, cache: Path, names: tuple[str, ...]) -> None:
        self.run, self.cache, self.names = run, cache, names

    def model_info(self, repo: str, **options: Any) -> Any:
        own = [(file.name, file.stat().st_size) for file in self.run.iterdir()]
        files = [*own, *((name, 4) for name in self.names)]
        listed = [SimpleNamespace(rfilename=name, size=size) for name, size in files]
        return SimpleNamespace(sha="0" * 40, siblings=listed)

    def snapshot_download(self, repo: str, *, revision: str, allow_patterns: list[str]) -> str:
        self.cache.mkdir(exist_ok=True)
        for name in allow_patterns:
            if set(name) & set("/\x1b*") or name in self.names:
                raise ArtifactError(f"{name!r} was asked for")
            shutil.copyfile(self.run / name, self.cache / name)
        return str(self.cache)


def _pull_attack(run: Path, names: tuple[str, ...]) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        known = transfer.connect
        transfer.connect = lambda: _Hub(run, place.inside / "cache", names)
        try:
            _run("pull", "ann/pets", "--out", str(place.inside / "pets"))
        finally:
            transfer.connect = known
        found = {file.name for file in (place.inside / "pets").iterdir()}
        assert found <= {file.name for file in run.iterdir()}, found
        assert not os.path.lexists(place.inside.parent / "evil")

    return attack
