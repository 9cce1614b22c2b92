"""Image sets in class folders, with or without `train`, `val` and `test` above them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convgraft.data.file_bytes import file_bytes
from convgraft.data.imageset import (
    PART_NAMES,
    PARTS,
    ImageSet,
    check_two_classes,
    fingerprint,
    frozen_labels,
)
from convgraft.data.stamps import file_stamp
from convgraft.data.walk import Found, images_below, is_image, subfolders, visible
from convgraft.errors import DataError
from convgraft.plan.shown import shown_name

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class ClassFolder:
    """One folder whose images are all of one class, in one part or in none."""

    part: str | None
    name: str
    path: Path


@dataclass(frozen=True)
class _Files:
    """Reads the bytes of the file at an index."""

    root: Path
    ids: tuple[str, ...]

    def __call__(self, index: int) -> bytes:
        id = self.ids[index]
        return file_bytes(self.root / id, id=id)

    def stamps(self, indices: Sequence[int]) -> list[str]:
        """For each index the path, size and time of its file as they are now."""
        root = os.path.abspath(self.root)  # noqa: PTH100 (a link stays the link that it is)
        return [file_stamp(f"{root}/{self.ids[index]}") for index in indices]


def open_folder(location: str, root: Path) -> ImageSet:
    """The images below `root`, in an order that depends on their names alone.

    Raises:
        DataError: there are no class folders, some are empty, there is one class only, or a
            class of another part is unknown in train.
    """
    folders = _class_folders(location, root)
    found = {folder: images_below(root, folder.path) for folder in folders}
    _check_filled(location, found)
    classes = _classes(location, folders)
    rows = [(folder, file) for folder in folders for file in found[folder]]
    ids = tuple(file.id for _, file in rows)
    number = {name: index for index, name in enumerate(classes)}
    labels = frozen_labels([number[folder.name] for folder, _ in rows])
    sizes = [(file.id, file.size) for _, file in rows]
    files = _Files(root, ids)
    return ImageSet(
        location=location,
        kind="folder",
        target=None,
        classes=classes,
        ids=ids,
        labels=labels,
        parts=_parts([folder.part for folder, _ in rows]),
        fingerprint=fingerprint("folder", None, classes, ids, labels, sizes),
        source=files,
        stamps=files.stamps,
    )


def _class_folders(location: str, root: Path) -> tuple[ClassFolder, ...]:
    top = subfolders(root)
    if not top:
        raise _no_class_folders(location, root)
    by_part = {PART_NAMES[path.name.lower()]: path for path in top if _names_part(path)}
    nested = any(subfolders(path) for path in by_part.values())
    others = [path.name for path in top if not _names_part(path)]
    if not nested or (others and len(by_part) < 2):
        return tuple(ClassFolder(None, path.name, path) for path in top)
    _check_parts(location, by_part, [path.name for path in top], others)
    return tuple(
        ClassFolder(part, path.name, path)
        for part in PARTS
        if part in by_part
        for path in subfolders(by_part[part])
    )


def _names_part(path: Path) -> bool:
    return path.name.lower() in PART_NAMES


def _check_parts(
    location: str, by_part: Mapping[str, Path], names: Sequence[str], others: Sequence[str]
) -> None:
    expected = "train, and val or test beside it, each with class folders"
    if others:
        what = f"{location} mixes split folders with others: {', '.join(others)}"
        raise DataError(what, expected=expected, found=", ".join(names))
    if "train" not in by_part or len(names) > len(by_part):
        raise DataError(
            f"the split folders of {location} cannot be used",
            expected=f"{expected}, one folder per part",
            found=", ".join(names),
        )


def _parts(parts: Sequence[str | None]) -> tuple[str, ...] | None:
    said = tuple(part for part in parts if part is not None)
    return said or None


def _classes(location: str, folders: Iterable[ClassFolder]) -> tuple[str, ...]:
    folders = tuple(folders)
    _check_names(location, folders)
    classes = {folder.name for folder in folders if folder.part in (None, "train")}
    for part in ("val", "test"):
        unknown = sorted({f.name for f in folders if f.part == part} - classes)
        if unknown:
            raise DataError(
                f"{location}: {part} has classes that train does not: {', '.join(unknown)}",
                expected=f"classes of train: {', '.join(sorted(classes))}",
                hint="add training images of these classes or remove the folders",
            )
    check_two_classes(location, sorted(classes), hint=_deeper(location, folders))
    return tuple(sorted(classes))


def _check_names(location: str, folders: Sequence[ClassFolder]) -> None:
    """A class's name is told and stored as text, which the name of a folder need not be."""
    odd = [folder.name for folder in folders if _SURROGATE.search(folder.name)]
    if odd:
        raise DataError(
            f"{location} has class folders whose names are no UTF-8",
            expected="names of classes that are text",
            found=", ".join(map(shown_name, odd[:5])),
            hint="rename these folders",
        )


def _deeper(location: str, folders: Sequence[ClassFolder]) -> str:
    inner = [path.name for folder in folders for path in subfolders(folder.path)]
    if len(inner) < 2:
        return "one folder per class is read; add the folders of the other classes"
    return f"if {', '.join(inner[:3])} are the classes, name {location}/{folders[0].name} instead"


def _check_filled(location: str, found: Mapping[ClassFolder, Sequence[Found]]) -> None:
    empty = [folder for folder, files in found.items() if not files]
    if not empty:
        return
    names = ", ".join("/".join(filter(None, (f.part, f.name))) for f in empty)
    if len(empty) == len(found):
        raise DataError(
            f"there are no images in {location}",
            expected="jpg, png, bmp, gif, webp, tiff, ppm or pgm files in class folders",
            found=_other_files(folder.path for folder in empty) or f"empty folders: {names}",
        )
    raise DataError(
        f"{location} has class folders without images: {names}",
        expected="an image or more in every class folder",
        hint="remove these folders or fill them",
    )


def _other_files(folders: Iterable[Path]) -> str:
    files = (path for folder in folders for path in visible(folder) if path.is_file())
    kinds = Counter(path.suffix.lower() or "no suffix" for path in files)
    return ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common(5))


def _no_class_folders(location: str, root: Path) -> DataError:
    loose = sum(is_image(path.name) for path in visible(root))
    return DataError(
        f"{location} has no class folders",
        expected="one folder per class, with its images inside",
        found=f"{loose} images directly in it" if loose else "no folder that is not hidden",
        hint="move the images of each class to a folder with the class's name" if loose else None,
    )
