"""A `.pt2` file is opened by PyTorch alone, and takes images of any size, any number of them."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_runs import Case, pictures, run_from, run_of
from torch import Tensor, nn

from convgraft.compose import compose
from convgraft.data import resized
from convgraft.errors import ArtifactError, RunError
from convgraft.export import Run
from convgraft.export.program import export_program, open_program
from convgraft.sources import source
from helpers import plan_for


@pytest.fixture(scope="module")
def run(real_images: Tensor) -> Run:
    return run_of(Case("cross-skip", {"start": "one"}), real_images)


@pytest.fixture(scope="module")
def file(run: Run, real_images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "model.pt2"
    found = export_program(run, path, layout="nchw", pictures=pictures(real_images))
    assert found.probabilities < 1e-4
    return path


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (40, 25), (9, 50)])
def test_images_of_any_size_and_number(
    run: Run, file: Path, count: int, height: int, width: int
) -> None:
    extra = {"convgraft.json": ""}
    module = torch.export.load(file, extra_files=extra).module()
    assert json.loads(json.loads(extra["convgraft.json"])["labels"]) == list(run.labels)
    images = torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)
    with torch.no_grad():
        found, index = module(images)
    expected = run.probabilities(resized(images, 16))
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.equal(index, found.argmax(1))


def test_opened_it_says_what_it_is(run: Run, file: Path) -> None:
    _, facts = open_program(file)
    assert (facts.labels, facts.image_size, facts.layout) == (run.labels, 16, "nchw")


def test_no_weight_in_it_is_pickled(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        configs = [name for name in archive.namelist() if name.endswith("weights_config.json")]
        told = [json.loads(archive.read(name)) for name in configs]
    entries = [entry for one in told for entry in one["config"].values()]
    assert entries and not any(entry["use_pickle"] for entry in entries)


def test_it_tells_nothing_of_the_machine_it_was_made_on(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    for place in (Path(torch.__file__).parent, Path(__file__).parent, Path.home()):
        assert str(place).encode() not in content


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.pt2").write_bytes(b"no archive")
    with pytest.raises(ArtifactError, match=r"m\.pt2"):
        open_program(tmp_path / "m.pt2")
    with pytest.raises(ArtifactError, match=r"gone\.pt2"):
        open_program(tmp_path / "gone.pt2")


def test_a_file_that_answers_otherwise_is_not_written(
    run: Run, real_images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(composite: Any) -> Any:
        network = copy.deepcopy(composite)
        network.get_parameter("heads.label.classifier.bias").data[0] += 0.01
        return network

    monkeypatch.setattr("convgraft.export.program.simplified", wrong)
    with pytest.raises(RunError, match=r"probabilities of image .*a test"):
        export_program(run, tmp_path / "m.pt2", pictures=pictures(real_images))
    assert not list(tmp_path.iterdir())


class Branching(nn.Module):
    """Decides by the values it sees."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_part_that_cannot_be_captured_is_named(tmp_path: Path) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), Branching(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    )
    strange = source(network)
    composite = compose(plan_for({"a": strange}, size=8), {"a": strange}).eval()
    with pytest.raises(RunError, match=r"\(Branching\) cannot be exported"):
        export_program(run_from(composite), tmp_path / "m.pt2")
    assert not list(tmp_path.iterdir())
