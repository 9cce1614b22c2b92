"""One study with a planted leak, a planted tie and a planted network of one class."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from convgraft.cli.main import main
from convgraft.strategies import Ingredients
from convgraft.studies import STUDIES, Design, Study, StudyArm

CLASSES = 5  # as many as `helpers:Tiny` tells apart
PARTS = {"train": range(20), "val": range(20, 30), "test": range(30, 50)}  # of each class
LEAKED = ("test/3/030.png", "train/3/copy.png")


def twin_of_a_probe(given: Ingredients) -> Sequence[StudyArm]:
    """The first network's probe under another name, and a join."""
    return [
        StudyArm(Design("probe", name="twin"), sources=(next(iter(given.sources)),)),
        StudyArm(Design("parallel")),
    ]


PLANTED = Study("planted", "what is seen of it?", twin_of_a_probe, ("probe", "own"))


def digits(folder: Path) -> Path:
    """Digits of five classes in three parts, and one test image in training too."""
    stored: Any = load_digits()
    for label in range(CLASSES):
        images = stored.images[stored.target == label]
        for part, numbers in PARTS.items():
            (folder / part / str(label)).mkdir(parents=True)
            for number in numbers:
                grey = (images[number] * (255 / 16)).astype("uint8")
                Image.fromarray(grey).save(folder / part / str(label) / f"{number:03}.png")
    tested, trained = LEAKED
    shutil.copyfile(folder / tested, folder / trained)
    return folder


@dataclass(frozen=True)
class Told:
    """What the command left and printed."""

    folder: Path
    data: dict[str, Any]
    digest: str

    @property
    def summary(self) -> str:
        return (self.folder / "summary.md").read_text()

    def outcomes(self, arm: str) -> dict[str, dict[str, Any]]:
        """By rival, how an arm compares."""
        return {one["against"]: one for one in self.data["comparisons"] if one["arm"] == arm}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    place = tmp_path_factory.mktemp("planted")
    (place / "one_class.py").write_text(
        "from helpers import Tiny\n\n\ndef build():\n    return Tiny(classes=1)\n"
    )
    data = digits(place / "digits")
    with pytest.MonkeyPatch.context() as patch, (place / "out.json").open("w") as out:
        patch.setitem(STUDIES, "planted", PLANTED)  # type: ignore[arg-type]
        patch.syspath_prepend(place)
        patch.setattr("sys.stdout", out)
        with pytest.raises(SystemExit) as ended:
            main([
                *("study", "planted", str(data), "--models", "python:helpers:Tiny"),
                *("python:one_class:build", "--image-size", "8", "--epochs", "2", "--seeds", "2"),
                *("--batch-size", "10", "--out", str(place / "study"), "--json"),
            ])  # fmt: skip
    assert not ended.value.code
    digest = hashlib.sha256((data / LEAKED[0]).read_bytes()).hexdigest()
    return Told(place / "study", json.loads((place / "out.json").read_text()), digest)


def test_the_leak_is_named_by_hash_and_by_both_places(told: Told) -> None:
    leaks = told.data["leaks"]
    assert list(leaks) == ["all-0", "all-1"]  # the data's own parts are those of every seed
    for found in leaks.values():
        (leak,) = found
        assert leak["digest"] == told.digest
        assert dict(leak["places"]).keys() == {"train", "test"}
    assert f"sha256 {told.digest[:12]}: train " in told.summary
    assert "In 2 of 2 cells some pictures are in more than one part" in told.summary


def test_the_tie_is_not_called_a_win(told: Told) -> None:
    against = told.outcomes("twin")
    assert against.keys() == {"average vote", "best single"}
    same = against["best single"]
    assert (same["outcome"], same["p"], same["corrected"]) == ("tie", 1, 1)
    assert same["points"] == {"value": 0, "low": 0, "high": 0}
    assert against["average vote"]["outcome"] == "tie"
    assert "twin beats" not in told.summary


def test_the_network_of_one_class_fails_and_the_others_do_not(told: Told) -> None:
    failed = {(line["cell"], line["arm"]): line["failed"] for line in told.data["failed"]}
    assert failed.keys() == {
        (f"all-{seed}", arm) for seed in (0, 1) for arm in ("own-b", "average-own")
    }
    assert "class" in failed["all-0", "own-b"]
    done = [line["arm"] for line in told.data["lines"] if "failed" not in line]
    others = ("twin", "parallel", "probe-a", "probe-b", "average-probe", "own-a")
    assert sorted(done) == sorted(2 * others)
    assert f"own-b failed in all-0: {failed['all-0', 'own-b']}" in told.summary
    kept = {path.stem for path in (told.folder / "predictions" / "all-0").iterdir()}
    assert kept == set(others)
