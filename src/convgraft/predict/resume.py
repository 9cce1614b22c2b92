"""An output file in the making, which a later process can go on with.

Rows are collected in the folder `OUT.part`; `OUT` appears when it is whole. In that folder
`about.json` says what the rows are of, and `state.json` how many are safely on the disk, with a
digest of the files' names. What a killed process wrote after that is dropped, so that no row is
there twice or in part. `whole.json` names the file that is about to become `OUT`: where that is
gone, a process was killed right after it, and the next one removes the folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from convgraft.durable.claiming import claim_folder
from convgraft.durable.holding import Holding, hold
from convgraft.durable.lines import differing, read_config, write_config
from convgraft.durable.on_disk import put_in_place
from convgraft.errors import ArtifactError, UsageError
from convgraft.predict.pipeline import Answers
from convgraft.predict.rows import RowForm
from convgraft.predict.writers import open_writer

ABOUT, STATE, WHOLE = "about.json", "state.json", "whole.json"
COMMIT_SECONDS = 5.0
COMMIT_ROWS = 4096


@dataclass(frozen=True)
class Progress:
    """How far an output has come: what is safely on the disk.

    Attributes:
        rows: written, one for each file.
        failed: how many of them say what is wrong.
        names: SHA-256 of the files' names, in hex.
        place: where the writer goes on.
    """

    rows: int = 0
    failed: int = 0
    names: str = hashlib.sha256().hexdigest()
    place: int = 0


def check_place(out: Path, *, overwrite: bool = False) -> None:
    """Raise UsageError where an output cannot be; before anything is computed for it.

    What lies there of one that is whole already is removed.
    """
    if not out.parent.is_dir():
        raise UsageError(
            f'there is no folder "{out.parent}" for "{out.name}"', expected="one that is there"
        )
    if out.exists() and not out.is_file():
        kind = "a folder" if out.is_dir() else "no ordinary file"
        raise UsageError(f'"{out}" is {kind}', expected="a new file")
    _clear(out)
    if out.is_file() and not overwrite:
        raise UsageError(f'"{out}" is there already', hint="--overwrite, or another --out")


class Output:
    """A file that rows are added to, and that is there once it is finished.

    Args:
        out: the file.
        format: one of `convgraft.predict.writers.FORMATS`.
        form: what the rows say.
        about: what answers, and how: another process goes on only where this is the same.
        overwrite: replace the file in the end, and drop what was begun with something else.

    Raises:
        ArtifactError: `OUT.part` is of something else, is not as it was left, or another process
            works in it.
        UsageError: the output cannot be there; see `check_place`.

    Attributes:
        begun: how far it had come when it was opened.
        done: how far it is.
    """

    def __init__(
        self,
        out: Path,
        format: str,
        form: RowForm,
        about: Mapping[str, Any],
        *,
        overwrite: bool = False,
    ) -> None:
        check_place(out, overwrite=overwrite)
        self.out, self.folder = out, _folder_of(out)
        rows = {"format": format, "top": form.top, "probabilities": form.probabilities}
        self._holding: Holding | None = _claim(self.folder, {**about, **rows}, overwrite)
        (self.folder / WHOLE).unlink(missing_ok=True)
        self.begun = self.done = _read_progress(self.folder / STATE)
        self._names = hashlib.sha256()
        self._writer = open_writer(format, self.folder, form, self.begun.place)
        self._rows = self._failed = 0
        self._whole, self._committed_at = True, time.monotonic()

    def remaining(self, names: Iterator[str]) -> Iterator[str]:
        """The names whose rows are still missing; the others are taken from the iterator.

        Raises ArtifactError where the names so far are not those that rows were written for.
        """
        for name in islice(names, self.begun.rows):
            self._note(name)
        if self._names.hexdigest() != self.begun.names:
            raise ArtifactError(
                f'"{self.folder}" was begun with other files',
                expected=f"the same first {self.begun.rows} files, in the same order",
                hint=f"another --out; or remove {self.folder} to begin anew",
            )
        return names

    def add(self, answers: Answers) -> None:
        """Take some rows, and put them on the disk from time to time."""
        self._whole = False
        self._writer.write(answers)
        for name in answers.files:
            self._note(name)
        self._rows, self._failed = self._rows + len(answers), self._failed + answers.failed
        self._whole = True
        overdue = time.monotonic() - self._committed_at >= COMMIT_SECONDS
        if overdue or self._rows >= COMMIT_ROWS:
            self.commit()

    def commit(self) -> None:
        """Put everything on the disk; nothing where it was broken off in the middle of a row."""
        if not self._whole:
            return
        self._whole = False
        place = self._writer.commit()
        done = Progress(
            self.done.rows + self._rows,
            self.done.failed + self._failed,
            self._names.hexdigest(),
            place,
        )
        write_config(self.folder / STATE, asdict(done))
        self.done, self._rows, self._failed = done, 0, 0
        self._whole, self._committed_at = True, time.monotonic()

    def finish(self) -> None:
        """Make the file whole and give it its name."""
        self.commit()
        whole = self._writer.finish()
        write_config(self.folder / WHOLE, {"whole": whole.name})
        put_in_place(whole, self.out)
        _remove(self.folder)
        self._holding = None

    def stop(self) -> None:
        """Keep what is done, and let another process go on with it.

        What is done is read back: a signal can come when it is on the disk and not yet noted.
        """
        self.commit()
        self._writer.close()
        self.done = _read_progress(self.folder / STATE)
        self._holding = None

    def _note(self, name: str) -> None:
        self._names.update(os.fsencode(name) + b"\0")


def _folder_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.part")


def _clear(out: Path) -> None:
    """Remove what a process left that was killed after it had given the file its name."""
    folder = _folder_of(out)
    with suppress(ArtifactError):
        name = read_config(folder / WHOLE).get("whole")
        if isinstance(name, str) and not (folder / name).exists():
            _remove(folder)
    if out.is_file():
        with suppress(OSError):
            folder.rmdir()  # an empty one alone


def _remove(folder: Path) -> None:
    """Remove a folder, and last of all what says that it may go."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name != WHOLE:
                path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _claim(folder: Path, about: Mapping[str, Any], overwrite: bool) -> Holding:
    if overwrite and (folder / ABOUT).is_file() and differing(read_config(folder / ABOUT), about):
        holding = hold(folder)  # nobody else is at work there
        shutil.rmtree(folder)
        del holding
    free = "--workers and --batch-size may be others"
    return claim_folder(folder, about, ABOUT, kind="prediction", free=free)


def _read_progress(path: Path) -> Progress:
    if not path.is_file():
        return Progress()
    try:
        return Progress(**read_config(path))
    except TypeError as error:
        raise ArtifactError(f'"{path}" cannot be read', found=str(error)) from error
