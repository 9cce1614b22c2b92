"""What is on disk below a folder: visible entries and image files, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from convgraft.errors import DataError

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
)


@dataclass(frozen=True)
class Found:
    """An image file: its path below the root with `/` between, and its size in bytes."""

    id: str
    size: int


def is_image(name: str) -> bool:
    """Whether a file of this name is read as an image; capital letters do not matter."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def visible(folder: Path) -> tuple[Path, ...]:
    """The entries of a folder that are not hidden, sorted by name.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise DataError(f"cannot list {folder}", found=error.strerror) from error
    return tuple(sorted(entries, key=lambda path: path.name))


def subfolders(folder: Path) -> tuple[Path, ...]:
    """The visible folders directly below a folder, sorted by name."""
    return tuple(path for path in visible(folder) if _is_folder(path))


def images_below(root: Path, folder: Path) -> tuple[Found, ...]:
    """All image files at any depth below `folder`, sorted by id.

    A link to a folder that holds it is not followed, also where that one is above `folder`.
    """
    above = {*folder.resolve().parents, *(() if root == folder else (root.resolve(),))}
    found = (
        Found(path.relative_to(root).as_posix(), _size(path))
        for path in _files(folder, frozenset(above))
    )
    return tuple(sorted(found, key=lambda file: file.id))


def _files(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:  # a link back to a folder that holds it
        return
    for path in visible(folder):
        if _is_folder(path):
            yield from _files(path, above | {real})
        elif is_image(path.name):
            yield path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # its folder may be listed and not entered: reading it reports a broken image
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a dangling link: reading it reports a broken image
        return -1


def image_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The files among `paths` as they are, and all image files below the folders among them.

    Raises:
        DataError: a path is missing, or there is no image at all.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} does not exist", expected="an image file or a folder of them")
        if path.is_dir():
            files += [path / found.id for found in images_below(path, path)]
        else:
            files.append(path)
    if not files:
        raise DataError("there are no images there", found=", ".join(map(str, paths)))
    return tuple(files)
