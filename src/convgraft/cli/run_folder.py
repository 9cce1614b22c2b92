"""A run's folder while it is being made: who may write there, and what is already done.

While work goes on, `state/` holds the configuration, checkpoints, and every arm that is trained.
The same command finds its own state and goes on; another command is refused, and so is the same one
in another process while the first is at work.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convgraft.cli.recorded_command import FILE as COMMAND
from convgraft.cli.recorded_command import record_command
from convgraft.durable.holding import LOCK, Holding, hold
from convgraft.durable.lines import differing, read_config, write_config
from convgraft.errors import ArtifactError
from convgraft.export.checksums import CHECKSUMS

STATE = "state"
CONFIG = "config.json"
PREDICTIONS = "predictions"
LOGS = "logs"
OWN_FILES = (
    *("model.safetensors", "plan.yaml", "labels.json", "metrics.json", "card.md", "split.csv"),
    CHECKSUMS,
    *("comparison.png", "baselines", "pretrained", PREDICTIONS, LOGS, STATE),
    *("report.html", "report.md", "report.csv", COMMAND),
    *("model.onnx", "model.pt2"),
    *(f"model-{kind}.{end}" for kind in ("int8", "uint8") for end in ("onnx", "onnx.json")),
)


@dataclass(frozen=True)
class RunFolder:
    """A claimed folder.

    Attributes:
        path: the run's folder.
        resumed: whether unfinished work of the same command was found there.
        holding: the right to write there.
        is_ours: whether this process writes there: of several ranks one does.
    """

    path: Path
    resumed: bool
    holding: Holding | None = None
    is_ours: bool = True

    def checkpoint(self, arm: str) -> Path:
        """Where an arm's training state lies while it trains."""
        return self.path / STATE / "checkpoints" / f"{arm}.ckpt"

    def arm(self, arm: str) -> Path:
        """Where an arm lies once it is trained."""
        return self.path / STATE / "arms" / arm

    def is_trained(self, arm: str) -> bool:
        """Whether an arm is trained and saved."""
        return (self.arm(arm) / "metrics.json").is_file()

    @property
    def predictions_folder(self) -> Path:
        """Where what arms made of every test image lies, a file for each arm."""
        return self.path / PREDICTIONS

    def predictions(self, arm: str) -> Path | None:
        """Where what an arm made of every test image lies; None where another rank writes it."""
        return self.predictions_folder / f"{arm}.safetensors" if self.is_ours else None

    @property
    def logs(self) -> Path:
        """Where loggers write, a folder for each arm."""
        return self.path / LOGS

    def finish(self) -> None:
        """Forget how it was made."""
        if not self.is_ours:
            return
        shutil.rmtree(self.path / STATE, ignore_errors=True)


def claim(path: Path, config: Mapping[str, Any], *, overwrite: bool = False) -> RunFolder:
    """Take a folder for a run of this configuration, and note there which command did.

    Nobody else can write there until what this gives is gone. Raises ArtifactError where the folder
    holds something else: a finished run, another command's unfinished run, or files that are no run
    at all; and where another process is at work there.
    """
    if path.exists() and not path.is_dir():
        raise ArtifactError(f'"{path}" is a file', expected="a new folder for the run")
    if not _is_new(path):
        if not overwrite:
            found = _go_on(path, config)
            record_command(path)
            return found
        _clear(path)
    try:
        (path / STATE).mkdir(parents=True, exist_ok=True)
        holding = hold(path / STATE)
        write_config(path / STATE / CONFIG, config)
        record_command(path)
    except OSError as error:
        raise ArtifactError(f'"{path}" cannot be written', found=str(error)) from error
    return RunFolder(path, resumed=False, holding=holding)


def _is_new(path: Path) -> bool:
    """Whether nothing lies there but what a process leaves that was killed before it began."""
    nothing = (LOCK, f".{CONFIG}.part")
    return not path.is_dir() or all(
        entry.name == STATE and all(one.name in nothing for one in entry.iterdir())
        for entry in path.iterdir()
    )


def _go_on(path: Path, config: Mapping[str, Any]) -> RunFolder:
    there = path / STATE / CONFIG
    if not there.is_file():
        raise _in_use(path)
    holding = hold(path / STATE)
    if not there.is_file():  # whoever was at work there came to an end while this one waited
        shutil.rmtree(path / STATE, ignore_errors=True)
        raise _in_use(path)
    if differing(read_config(there), config) and _is_untouched(path):
        write_config(there, config)
        (path / COMMAND).unlink(missing_ok=True)
    if differing(read_config(there), config):
        raise ArtifactError(
            f'the folder "{path}" is in use by an unfinished run of another command',
            hint="the same command to go on with it, another --out, or --overwrite",
        )
    return RunFolder(path, resumed=True, holding=holding)


def _in_use(path: Path) -> ArtifactError:
    return ArtifactError(
        f'the folder "{path}" is in use',
        expected="a new folder for the run",
        found=_what_lies_in(path),
        hint="another --out" + (", or --overwrite" if _is_run(path) else ""),
    )


def _clear(path: Path) -> None:
    """Remove a run, and only a run: nothing goes where something else lies beside it."""
    strange = sorted(entry.name for entry in path.iterdir() if entry.name not in OWN_FILES)
    if strange or not _is_run(path):
        raise ArtifactError(
            f'"{path}" holds files that are no run; they are not overwritten',
            found=", ".join(strange[:3]) or None,
            hint="another --out",
        )
    holding = hold(path / STATE) if (path / STATE).is_dir() else None
    shutil.rmtree(path)
    del holding


def _is_run(path: Path) -> bool:
    finished = all((path / name).is_file() for name in ("metrics.json", "model.safetensors"))
    return finished or (path / STATE / CONFIG).is_file()


def _is_untouched(path: Path) -> bool:
    """Whether unfinished work there came to nothing that could be lost."""
    nothing = (STATE, "split.csv", COMMAND, LOGS)
    kept = [entry.name for entry in path.iterdir() if entry.name not in nothing]
    return (
        not kept
        and not any((path / STATE).rglob("*.ckpt"))
        and not (path / STATE / "arms").is_dir()
    )


def _what_lies_in(path: Path) -> str:
    if not _is_run(path):
        return "files that are no run"
    if (path / STATE).is_dir():  # being finished just now, or it has lost that file
        return f"a run, and no {STATE}/{CONFIG} that says how to go on with it"
    return "a finished run"
