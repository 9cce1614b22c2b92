"""Writing so that a file is there whole or not at all, also after the power went.

A rename alone is not enough: a file system may keep the new name and lose what was written, or keep
what was written and lose the name. So the file is brought to the disk before it gets its name, and
the folder after.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def put_in_place(part: Path, path: Path) -> None:
    """Give a file that is written its name; both are on the disk when this returns."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; a new one is on the disk when this returns."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def copy_folder(found: Path, folder: Path) -> None:
    """Copy a folder, whole or not at all; it is on the disk when this returns."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    make_folder(folder.parent)
    shutil.copytree(found, part)
    for path in (*part.rglob("*"), part):
        sync_folder(path)  # files as well
    part.replace(folder)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the operating system knows of such a thing."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):  # Windows does not open folders
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
