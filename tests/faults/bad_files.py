"""Names and kinds of files that a folder of pictures may hold: links, pipes, odd names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from bad_pictures import broken_pictures, encoded, good_pictures

ODD_NAMES = (
    *(
        "two\nlines.png",
        "return\r.png",
        "a,b.png",
        'quo"te.png',
        "it's.png",
        "-rf.png",
        "--out.png",
    ),
    *("tab\t.png", "[red].png", "\x1b[2Jcleared.png", "\u202egnp.exe.png", "caf\xe9.png", "~.png"),
    *("$(reboot).png", "`id`.png", "a;b&c.png", "*.png", "%s%n.png", " .png", "\U0001f408.png"),
    *("a\\b.png", "x" * 251 + ".png", "#.png", "digits.png", "con.png", "null\u2400.png"),
)
NOT_TEXT = b"not \xff\xfe text.png"


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("gone.png")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _unreadable(path: Path) -> None:
    """Nobody but root can read it."""
    path.write_bytes(broken_pictures()["page.jpg"].data)
    path.chmod(0)


def _link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _link_to_folder_above(path: Path) -> None:
    path.symlink_to("..", target_is_directory=True)


BAD_FILES: Mapping[str, Callable[[Path], None]] = {
    "loop.jpg": _loop,
    "dangling.jpg": _dangling,
    "pipe.jpg": _pipe,
    "device.jpg": _link_to_device,
    "unreadable.jpg": _unreadable,
}
FOLDERS: Mapping[str, Callable[[Path], None]] = {
    "folder.jpg": Path.mkdir,
    "above.jpg": _link_to_folder_above,
}


def lay_out(folder: Path, *, with_bad: bool, size: int = 20) -> tuple[str, ...]:
    """Class folders `blue`, `green` and `red` with 12 plain pictures each, and odd ones among them.

    Args:
        with_bad: whether what cannot be read is bad; otherwise there are good pictures in its
            place, under the same names.

    Returns the ids of what cannot be read.
    """
    rng = np.random.default_rng(0)
    for number, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir(parents=True)
        for picture in range(12):
            pixels = rng.integers(0, 80, (size, size, 3), dtype=np.uint8)
            pixels[..., number] += 150
            (folder / name / f"{picture:02}.png").write_bytes(encoded(pixels))
    for name, picture in good_pictures().items():
        (folder / "green" / name).write_bytes(picture.data)
    for number, name in enumerate([*ODD_NAMES, os.fsdecode(NOT_TEXT)]):
        pixels = np.full((9, 9, 3), number, np.uint8)
        (folder / "red" / name).write_bytes(encoded(pixels))
    return _bad_ones(folder / "blue", with_bad)


def _bad_ones(folder: Path, with_bad: bool) -> tuple[str, ...]:
    bad = []
    for number, (name, picture) in enumerate(broken_pictures().items()):
        good = encoded(np.full((7, 7, 3), number, np.uint8))
        (folder / name).write_bytes(picture.data if with_bad else good)
        bad.append(name)
    for number, (name, make) in enumerate(BAD_FILES.items()):
        if with_bad:
            make(folder / name)
        else:
            (folder / name).write_bytes(encoded(np.full((5, 5, 3), number, np.uint8)))
        bad.append(name)
    for name, make in FOLDERS.items() if with_bad else ():
        make(folder / name)
    return tuple(sorted(f"{folder.name}/{name}" for name in bad))
