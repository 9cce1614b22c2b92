"""Running the command line in this process, as a user would see it."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

from convgraft.cli.main import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def convgraft(*arguments: object) -> Outcome:
    """Exit code and output of `convgraft ARGUMENTS`."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    return Outcome(code, out.getvalue(), err.getvalue())
