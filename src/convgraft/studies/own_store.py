"""A worker's own small study folder: of one arm, for as long as it is worked on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from convgraft.durable.lines import Line
from convgraft.durable.on_disk import make_folder
from convgraft.studies.arm_task import ArmTask
from convgraft.studies.store import CONFIG, StudyStore


@dataclass(frozen=True, eq=False)
class OwnStore(StudyStore):
    """A worker's own folder of one arm; its checkpoints lie where they outlive the worker."""

    checkpoints: Path = Path()

    def append(self, line: Line) -> None:
        """Keep a line, which the study's owner writes."""
        self.lines.append(line)

    def checkpoint(self, cell: str, arm: str) -> Path:
        """Where the arm's training state lies while it trains."""
        return self.checkpoints / f"{arm}.ckpt"

    def drop_checkpoint(self, cell: str, arm: str) -> None:
        """It stays until the study's owner has written the line."""


@contextmanager
def own_store(task: ArmTask, state: str) -> Iterator[OwnStore]:
    """A folder with what the arm has to know; beside its checkpoint where the study's is here."""
    shared = StudyStore(task.folder, []).checkpoint(state, task.arm).parent
    if _is_here(task):
        make_folder(shared)
        folder = checkpoints = shared
    else:
        folder = checkpoints = None
    place = Path(tempfile.mkdtemp(prefix=f".{task.arm}-", dir=folder))
    try:
        store = OwnStore(place, list(task.lines), checkpoints=checkpoints or place)
        for name, data in task.weights.items():
            kept = store.kept_path(state, name)
            make_folder(kept.parent)
            kept.write_bytes(data)
        yield store
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _is_here(task: ArmTask) -> bool:
    """Whether this worker has the study's folder too: the same path, and the same study there."""
    try:
        return (task.folder / CONFIG).read_bytes() == task.config != b""
    except OSError:
        return False
