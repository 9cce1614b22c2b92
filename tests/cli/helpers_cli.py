"""Running the command line in this process, as a user would see it, on a few pictures."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from convgraft.cli.main import main

COLOURS = {"blue": (20, 30, 220), "green": (20, 210, 40), "red": (220, 30, 20)}


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


def write_pictures(folder: Path, per_class: int = 12, *, size: int = 20) -> Path:
    """Noisy pictures of one colour per class; easy to tell apart."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            noise = rng.integers(-20, 20, (size, size, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    return folder
