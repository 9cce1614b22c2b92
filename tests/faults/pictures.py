"""Bad pictures and bad files: never a traceback, never a hang, each named, the rest unchanged."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from bad_files import lay_out
from bad_pictures import Picture, broken_pictures, good_pictures
from campaign import Campaign, Trial
from captured import command
from helpers_cli import COLOURS
from mutated_pictures import one_mutated, whole_files, wrong_with
from watched import Bounds, watched

from convgraft.data import (
    ImageSet,
    decode,
    find_conflicts,
    find_leaks,
    image_digests,
    image_ids,
    load_pixels,
    open_images,
    read_split,
    split_images,
    write_split,
)
from convgraft.data.broken import BrokenImage
from convgraft.predict.classifier import open_classifier

SIZE = 8
# libtiff prints a line of its own for what it cannot decode; Pillow has no way to keep it quiet
LIBTIFF = re.compile(r"([\w.]+: [^\n]*(\n|\Z))*")
MUTATED = Bounds(seconds=120, bytes=3 * 2**29, quiet=LIBTIFF)
WHOLE_SETS = Bounds(seconds=300, bytes=3 * 2**29)


def try_mutated(seed: int, count: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """One damaged file a trial; the memory's bound is that of a picture of the largest size."""
    whole_files()
    return watched(partial(one_mutated, seed), first, count, folder, MUTATED)


def try_corpus(seed: int, count: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """Every picture of the corpus, then every way to read a folder of them all."""
    good, broken = good_pictures(), broken_pictures()
    files = {**good, **broken}
    cases: list[tuple[str, Callable[[], str]]] = [
        (name, partial(_wrong_picture, name, picture)) for name, picture in files.items()
    ]
    sets = _Sets(folder)
    cases += [(name, partial(look, sets)) for name, look in LOOKS.items()]
    count = min(count, len(cases))
    return watched(lambda number: _tried(*cases[number]), first, count, folder, WHOLE_SETS)


def _tried(name: str, look: Callable[[], str]) -> Trial:
    return Trial(ascii(name)[1:-1], look())


def _wrong_picture(name: str, picture: Picture) -> str:
    try:
        shown = decode(picture.data, id=name).permute(1, 2, 0).numpy()
    except BrokenImage as error:
        if picture.pixels is not None:
            return f"it is left out: {error}"
        return wrong_with(picture.data, name)
    if picture.pixels is None:
        return f"it is read, as {shown.shape}"
    if shown.shape != picture.pixels.shape:
        return f"it has the shape {shown.shape}, and not {picture.pixels.shape}"
    away = int(np.abs(shown.astype(int) - picture.pixels).max())
    return f"a pixel is {away} away" if away > picture.near else wrong_with(picture.data, name)


class _Sets:
    """The same folder twice: with what cannot be read, and with good pictures in its place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bad: tuple[str, ...] | None = None

    @property
    def bad(self) -> tuple[str, ...]:
        """Ids of what cannot be read; the folders are made on first use."""
        if self._bad is None:
            place = self.folder / "bad"
            if place.exists():  # another process made them
                self._bad = tuple(json.loads((self.folder / "bad.json").read_text()))
            else:
                self._bad = lay_out(place, with_bad=True)
                lay_out(self.folder / "good", with_bad=False)
                (self.folder / "bad.json").write_text(json.dumps(self._bad))
        return self._bad

    def opened(self) -> tuple[ImageSet, ImageSet, tuple[str, ...]]:
        """Both sets, and the ids of what cannot be read in the first one."""
        bad = self.bad
        return open_images(self.folder / "bad"), open_images(self.folder / "good"), bad

    @property
    def model(self) -> Path:
        """A network that anyone can check by eye."""
        from predict.helpers_predict import write_onnx

        path = self.folder / "model.onnx"
        if not path.exists():
            write_onnx(path)
        return path


def _pixels(sets: _Sets) -> str:
    """As `fit` reads them."""
    bad_set, good_set, bad = sets.opened()
    found, whole = load_pixels(bad_set, SIZE), load_pixels(good_set, SIZE)
    named = tuple(sorted(image.id for image in found.broken))
    if whole.broken or named != bad:
        return f"left out are {set(named) ^ set(bad) or [str(one) for one in whole.broken]}"
    if bad_set.ids != good_set.ids:
        return "the sets have other images"
    rows = list(found.indices)
    same = torch.equal(found.images, whole.images[rows]) and torch.equal(
        found.labels, whole.labels[rows]
    )
    return "" if same else "pixels of the others changed"


def _splits(sets: _Sets) -> str:
    """Images keep their parts, whatever else is broken."""
    bad_set, good_set, bad = sets.opened()
    out = [index for index, id in enumerate(bad_set.ids) if id in bad]
    found = split_images(bad_set, seed=3, exclude=out)
    whole = split_images(good_set, seed=3)
    for part in ("train", "val", "test"):
        if set(found.part(part)) != set(whole.part(part)) - set(out):
            return f"the part {part} changed"
    write_split(sets.folder / "split.csv", bad_set, found)
    return "" if read_split(sets.folder / "split.csv", bad_set) == found else "split.csv changed"


def _copies(sets: _Sets) -> str:
    """Leaks, conflicts and ids look at every file."""
    bad_set, _, bad = sets.opened()
    known = image_digests(bad_set, range(len(bad_set)))
    unread = {bad_set.ids[index] for index in range(len(bad_set)) if index not in known}
    if not unread <= set(bad):
        return f"not read were {unread - set(bad)}"
    find_leaks(bad_set, split_images(bad_set, seed=0), known=known)
    find_conflicts(bad_set, known)
    ids = image_ids(bad_set, range(len(bad_set)))
    return "" if ids is not None and len(ids) == len(bad_set) else "an image has no id"


def _evaluated(sets: _Sets) -> str:
    """`evaluate` names what it leaves out, and measures the rest."""
    from convgraft.compose import compose
    from convgraft.export import save
    from convgraft.plan import Plan, SourceRef
    from convgraft.sources import source

    _, _, bad = sets.opened()
    run = sets.folder / "run"
    if not run.exists():
        network = source("cifar_resnet20", classes=3)
        plan = Plan(SIZE, (SourceRef("a", "cifar_resnet20", 3),))
        save(run, compose(plan, {"a": network}), labels=sorted(COLOURS))
    said = command("evaluate", run, sets.folder / "bad", "--json")
    if said.code:
        return f"it ended with {said.code}: {said.err[-500:]}"
    told = json.loads(said.out)
    left = said.err.count("left out: ")
    return "" if told["broken"] == left == len(bad) else f"{told['broken']} and {left} are told"


def _answers(sets: _Sets, form: str) -> str:
    """`predict` has a row for every file, and the same numbers for the good ones."""
    _, _, bad = sets.opened()
    rows = {}
    for kind in ("bad", "good"):
        out = sets.folder / f"{kind}.{form}"
        said = command(
            *("predict", sets.model, sets.folder / kind, "--out", out, "--overwrite"),
            *("--probabilities", "--batch-size", 1),
        )
        if said.code:
            return f"it ended with {said.code}: {said.err[-500:]}"
        rows[kind] = [{**row, "file": row["file"].split(f"/{kind}/", 1)[1]} for row in _rows(out)]
    if [row["file"] for row in rows["bad"]] != [row["file"] for row in rows["good"]]:
        return f"{len(rows['bad'])} rows, and {len(rows['good'])}"
    failed = {row["file"] for row in rows["bad"] if row.get("error")}
    if failed != set(bad) or any(row.get("error") for row in rows["good"]):
        return f"errors are told of {failed ^ set(bad)}"
    good = [row for row in rows["good"] if row["file"] not in failed]
    same = [row for row in rows["bad"] if row["file"] not in failed] == good
    return "" if same else "the answers for the others changed"


def _rows(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(path).to_pylist()
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)) if path.suffix == ".csv" else json.load(file)


def _printed(sets: _Sets) -> str:
    """`predict --json` prints names that are no text."""
    sets.opened()
    said = command("predict", sets.model, sets.folder / "bad", "--json")
    return "" if not said.code and json.loads(said.out) else f"{said.code}: {said.err[-300:]}"


def _listed(sets: _Sets) -> str:
    """A folder, a pipe and a name with a null character among files that are named."""
    _, _, bad = sets.opened()
    from convgraft.predict import answer_files

    names = [str(sets.folder / "bad" / id) for id in bad]
    names += [str(sets.folder), "a\0b.png", "gone.png", "x" * 300 + ".png", ""]
    network = open_classifier(sets.model, threads=1)
    answers = list(answer_files(names, network, batch=4))
    told = [error for some in answers for error in some.errors]
    return "" if len(told) == len(names) and all(told) else f"{told}"


LOOKS: Mapping[str, Callable[[_Sets], str]] = {
    "read as fit does": _pixels,
    "splits": _splits,
    "copies and ids": _copies,
    "predict to CSV": partial(_answers, form="csv"),
    "predict to JSON": partial(_answers, form="json"),
    "predict to Parquet": partial(_answers, form="parquet"),
    "predict, printed": _printed,
    "predict, named files": _listed,
    "evaluate": _evaluated,
}
CASES = len(good_pictures()) + len(broken_pictures()) + len(LOOKS)

CAMPAIGNS = (
    Campaign(
        3, "bad-pictures", "each is read as it should be, or named and left out; no other changes",
        CASES, CASES, try_corpus,
    ),
    Campaign(
        3, "mutated-pictures", "a damaged picture is a picture of its size, or named and left out",
        200, 10_000, try_mutated,
    ),
)  # fmt: skip
