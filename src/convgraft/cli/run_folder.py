"""A run's folder while it is being made: who may write there, and what is already done.

While work goes on, `state/` holds the configuration, checkpoints, and every arm that is trained.
The same command finds its own state and goes on; another command is refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convgraft.errors import ArtifactError

STATE = "state"
CONFIG = "config.json"
PREDICTIONS = "predictions"
OWN_FILES = (
    *("model.safetensors", "plan.yaml", "labels.json", "metrics.json", "card.md", "split.csv"),
    *("comparison.png", "baselines", "pretrained", PREDICTIONS, STATE),
    *("report.html", "report.md", "report.csv"),
)


@dataclass(frozen=True)
class RunFolder:
    """A claimed folder.

    Attributes:
        path: the run's folder.
        resumed: whether unfinished work of the same command was found there.
    """

    path: Path
    resumed: bool

    def checkpoint(self, arm: str) -> Path:
        """Where an arm's training state lies while it trains."""
        return self.path / STATE / "checkpoints" / f"{arm}.ckpt"

    def arm(self, arm: str) -> Path:
        """Where an arm lies once it is trained."""
        return self.path / STATE / "arms" / arm

    def is_trained(self, arm: str) -> bool:
        """Whether an arm is trained and saved."""
        return (self.arm(arm) / "metrics.json").is_file()

    def predictions(self, arm: str) -> Path:
        """Where what an arm made of every test image lies."""
        return self.path / PREDICTIONS / f"{arm}.safetensors"

    def finish(self) -> None:
        """Forget how it was made."""
        shutil.rmtree(self.path / STATE, ignore_errors=True)


def claim(path: Path, config: Mapping[str, Any], *, overwrite: bool = False) -> RunFolder:
    """Take a folder for a run of this configuration.

    Raises ArtifactError where the folder holds something else: a finished run, another command's
    unfinished run, or files that are no run at all.
    """
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    if path.exists() and not path.is_dir():
        raise ArtifactError(f'"{path}" is a file', expected="a new folder for the run")
    if path.is_dir() and any(path.iterdir()):
        if not overwrite:
            return _go_on(path, text)
        _clear(path)
    try:
        (path / STATE).mkdir(parents=True, exist_ok=True)
        (path / STATE / CONFIG).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f'"{path}" cannot be written', found=str(error)) from error
    return RunFolder(path, resumed=False)


def _go_on(path: Path, text: str) -> RunFolder:
    config = path / STATE / CONFIG
    if not config.is_file():
        raise ArtifactError(
            f'the folder "{path}" is in use',
            expected="a new folder for the run",
            found="a finished run" if _is_run(path) else "files that are no run",
            hint="another --out" + (", or --overwrite" if _is_run(path) else ""),
        )
    if config.read_text(encoding="utf-8") != text and _is_untouched(path):
        config.write_text(text, encoding="utf-8")
    if config.read_text(encoding="utf-8") != text:
        raise ArtifactError(
            f'the folder "{path}" is in use by an unfinished run of another command',
            hint="the same command to go on with it, another --out, or --overwrite",
        )
    return RunFolder(path, resumed=True)


def _clear(path: Path) -> None:
    """Remove a run, and only a run: nothing goes where something else lies beside it."""
    strange = sorted(entry.name for entry in path.iterdir() if entry.name not in OWN_FILES)
    if strange or not _is_run(path):
        raise ArtifactError(
            f'"{path}" holds files that are no run; they are not overwritten',
            found=", ".join(strange[:3]) or None,
            hint="another --out",
        )
    shutil.rmtree(path)


def _is_run(path: Path) -> bool:
    finished = all((path / name).is_file() for name in ("metrics.json", "model.safetensors"))
    return finished or (path / STATE / CONFIG).is_file()


def _is_untouched(path: Path) -> bool:
    """Whether unfinished work there came to nothing that could be lost."""
    kept = [entry.name for entry in path.iterdir() if entry.name not in (STATE, "split.csv")]
    return (
        not kept
        and not any((path / STATE).rglob("*.ckpt"))
        and not (path / STATE / "arms").is_dir()
    )
