"""`open_images`: from what the user typed to an `ImageSet`."""

from __future__ import annotations

from pathlib import Path

from convgraft.data.digits import open_digits
from convgraft.data.folder import open_folder
from convgraft.data.imageset import ImageSet
from convgraft.data.parquet import open_parquet, parquet_files
from convgraft.data.walk import is_image
from convgraft.errors import DataError, near_miss

FORMS = "a folder of class folders, a .parquet file, a folder of them, or the word digits"


def open_images(location: str | Path, *, target: str | None = None) -> ImageSet:
    """The image set at a location, with its labels; no image is decoded.

    Args:
        location: a folder of class folders (with `train`, `val`, `test` above them or not), a
            `.parquet` file or a folder of such files, or `digits`. A string `digits` always
            means the built-in set; `./digits` names a folder.
        target: the label column, for Parquet.

    Raises:
        DataError: there is nothing to read, or it is not unambiguous; says what to change.

    >>> images = open_images("digits")
    >>> len(images), images.classes[:3], tuple(images.read(0).shape)
    (1797, ('0', '1', '2'), (3, 8, 8))
    """
    typed = str(location)
    path = Path(location).expanduser()
    if typed == "digits" and (isinstance(location, str) or not path.exists()):
        _refuse_target(typed, target, "the digits have one label each")
        return open_digits(typed)
    _check_exists(typed, path)
    files = parquet_files(typed, path)
    if files:
        return open_parquet(typed, files, target)
    if not path.is_dir():
        raise _not_a_set(typed, path)
    _refuse_target(typed, target, "in a folder the class folders are the labels")
    return open_folder(typed, path)


def _refuse_target(location: str, target: str | None, why: str) -> None:
    if target is not None:
        raise DataError(
            f"{location} has no label column {target}",
            expected=f"no target: {why}",
            hint="leave out --target",
        )


def _check_exists(location: str, path: Path) -> None:
    if not location.strip():
        raise DataError("no location of images is given", expected=FORMS)
    if path.exists():
        return
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    raise DataError(
        f"{location} does not exist",
        expected=FORMS,
        found=f"{missing.parent} has no {missing.name}",
        hint=near_miss(missing.name, _names(missing.parent)),
    )


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _not_a_set(location: str, path: Path) -> DataError:
    if is_image(path.name):
        return DataError(
            f"{location} is a single image", expected=FORMS, hint="name the folder of its set"
        )
    return DataError(f"{location} is a file of another kind", expected=FORMS, found=path.name)
