"""`open_images`: from what the user typed to an `ImageSet`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convgraft.data.braces import has_braces
from convgraft.data.columns import OWN_COLUMN
from convgraft.data.dataset_rows import OBJECT, PREFIX, load_dataset_folder, open_dataset
from convgraft.data.digits import open_digits
from convgraft.data.each_file import Progress
from convgraft.data.folder import open_folder
from convgraft.data.imageset import ImageSet, with_columns
from convgraft.data.label_map import read_label_map
from convgraft.data.near import Near
from convgraft.data.parquet import open_parquet, parquet_files
from convgraft.data.shard_files import PARQUET, local_files, pattern_files, remote_files
from convgraft.data.shards import open_shards
from convgraft.data.urls import as_path, is_url
from convgraft.data.walk import is_image
from convgraft.errors import DataError, near_miss

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

FORMS = (
    "a folder of class folders, .parquet files or .tar shards, one such file, a pattern of them, "
    "a URL, hf:FOLDER, or the word digits"
)


def open_images(
    location: str | Path | Dataset | DatasetDict,
    *,
    target: str | Sequence[str] | None = None,
    label_map: str | Path | None = None,
    on_progress: Progress | None = None,
) -> ImageSet:
    """The image set at a location, with its labels; no image is decoded.

    Args:
        location: a folder of class folders (with `train`, `val`, `test` above them or not), a
            `.parquet` file or `.tar` shard, a folder or a pattern (`cifar-{000..049}.tar`) of such
            files, here or at a URL, `hf:FOLDER` for what `save_to_disk` of the library datasets
            wrote, one of its objects, or `digits`. A string `digits` always means the built-in
            set; `./digits` names a folder.
        target: the label column, or several, the main one first. Parquet, shards and data sets have
            columns of any name; class folders and digits have one, `label`.
        label_map: a YAML file that derives further columns from the classes of the main one, as
            in `kind: {car: vehicle, cat: animal}`; they follow those of `target`.
        on_progress: called with (what, done, total) where many files are read first: shards, and
            what lies at a URL. Ctrl-C then keeps what was read of shards for the next time.

    With several columns, from `target` or from `label_map`, labels may be missing; with one alone
    that is an error.

    Raises:
        DataError: there is nothing to read, or it is not unambiguous; says what to change.
        PlanError: everything that is wrong in the label map, with line and column.

    >>> images = open_images("digits")
    >>> len(images), images.classes[:3], tuple(images.read(0).shape)
    (1797, ('0', '1', '2'), (3, 8, 8))
    """
    found = location
    if isinstance(location, str) and location.startswith(PREFIX) and not is_url(location):
        found = load_dataset_folder(location)
    name = str(location) if isinstance(location, str | Path) else OBJECT
    asked = _asked(name, target)
    gaps = len(asked) > 1 or label_map is not None
    if isinstance(found, str | Path):
        images = _open(found, asked, gaps, on_progress)
    else:
        images = open_dataset(name, found, asked, gaps=gaps)
    return images if label_map is None else with_columns(images, read_label_map(label_map, images))


def _asked(location: str, target: str | Sequence[str] | None) -> tuple[str, ...]:
    asked = (target,) if isinstance(target, str) else tuple(target or ())
    twice = [name for place, name in enumerate(asked) if name in asked[:place]]
    if twice or "" in asked:
        raise DataError(
            f"the label columns of {location} cannot be told apart",
            expected="names, each once",
            found=", ".join(asked) or "an empty name",
        )
    return asked


def _open(
    location: str | Path, asked: Sequence[str], gaps: bool, on_progress: Progress | None
) -> ImageSet:
    typed = str(location)
    if isinstance(location, str) and is_url(typed) and (path := as_path(typed)) is None:
        return _open_files(typed, remote_files(typed), asked, gaps, on_progress)
    path = (is_url(typed) and as_path(typed)) or Path(location).expanduser()
    if typed == "digits" and (isinstance(location, str) or not path.exists()):
        _check_own_column(typed, asked, "the digits have one label each")
        return open_digits(typed)
    if has_braces(typed) and not path.exists():
        return _open_files(typed, pattern_files(str(path)), asked, gaps, on_progress)
    _check_exists(typed, path)
    files = parquet_files(typed, path)
    if files:
        return open_parquet(typed, files, asked, gaps=gaps, on_progress=on_progress)
    if shards := local_files(typed, path):
        return open_shards(typed, shards, asked, gaps=gaps, on_progress=on_progress)
    if not path.is_dir():
        raise _not_a_set(typed, path)
    _check_own_column(typed, asked, "in a folder the class folders are the labels")
    return open_folder(typed, path)


def _open_files(
    location: str,
    files: Sequence[Near],
    asked: Sequence[str],
    gaps: bool,
    on_progress: Progress | None,
) -> ImageSet:
    """Files that are all of one kind, by that kind."""
    if files[0].path.suffix.lower() == PARQUET:
        return open_parquet(location, files, asked, gaps=gaps, on_progress=on_progress)
    return open_shards(location, files, asked, gaps=gaps, on_progress=on_progress)


def _check_own_column(location: str, asked: Sequence[str], why: str) -> None:
    wrong = [name for name in asked if name != OWN_COLUMN]
    if wrong:
        raise DataError(
            f"{location} has no label column {', '.join(wrong)}",
            expected=f"no target, or {OWN_COLUMN}: {why}",
            hint="leave out --target; a label map derives further columns from the classes",
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
        hint=near_miss(missing.name, _names(missing.parent))
        or "the word digits: 1,797 small pictures that come along",
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
