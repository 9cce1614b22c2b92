"""A hub folder has the Hub's shape, loads as it is, and tells nothing of the machine it is from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from convgraft.errors import ArtifactError, UsageError
from convgraft.export import load
from convgraft.export.hub.card import GIT_ATTRIBUTES, CardOptions
from convgraft.export.hub.check import check_artifact, weights_metadata
from convgraft.export.hub.folder import HubFolder, hub_folder
from convgraft.plan import read_plan
from helpers_hub import place_run, tampered

SECRET = "ann's secret files"
WRITTEN = {
    ".gitattributes", "README.md", "config.json", "labels.json", "metrics.json",
    "model.safetensors", "plan.yaml",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a name that nobody else should learn."""
    return tmp_path_factory.mktemp("home") / SECRET


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    """A run that nests another one; both name files below that folder."""
    return place_run(place, nested=True)


@pytest.fixture(scope="module")
def written(run: Path, tmp_path_factory: pytest.TempPathFactory) -> HubFolder:
    card = CardOptions("Pets: 3 kinds", "ann/pets", "apache-2.0", ("ann/pictures",))
    return hub_folder(run, tmp_path_factory.mktemp("hub") / "pets", card=card)


@pytest.fixture(scope="module")
def small(place: Path) -> Path:
    """A run of one network."""
    return place_run(place / "small")


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    """That run, to be damaged."""
    return Path(shutil.copytree(small, tmp_path / "copy"))


def metadata(folder: Path) -> dict[str, Any]:
    from huggingface_hub import ModelCard

    return ModelCard.load(folder / "README.md").data.to_dict()


def test_the_files_are_those_that_the_page_names(written: HubFolder) -> None:
    assert {file.name for file in written.path.iterdir()} == WRITTEN
    assert written.files == {name: (written.path / name).stat().st_size for name in WRITTEN}
    assert [file.name for file in written.path.parent.iterdir()] == ["pets"]
    assert {"split.csv", "predictions/", "command.json"} <= set(written.left_out)


def test_it_loads_as_it_is_and_answers_bit_for_bit(run: Path, written: HubFolder) -> None:
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    before, loaded = load(run), load(written.path)
    assert loaded.labels == before.labels == ("x", "y", "z")
    assert torch.equal(loaded.probabilities(images), before.probabilities(images))


def test_no_file_in_it_tells_where_things_lay(place: Path, written: HubFolder) -> None:
    for file in written.path.iterdir():
        content = file.read_bytes()
        assert str(place).encode() not in content, file.name
        assert SECRET.encode() not in content, file.name
        assert str(Path.home()).encode() + b"/" not in content, file.name
    told = json.loads((written.path / "metrics.json").read_text())
    assert told["data"]["location"] == "pictures"
    assert told["data"]["broken_images_left_out"] == 1
    assert told["members"] == {"a": "cifar_resnet20@w.safetensors"}
    assert told["note"] == "seen in cats, once"
    assert told["rows"][0]["test"]["top1"] == 0.875


def test_what_was_changed_is_said(place: Path, written: HubFolder) -> None:
    said = "\n".join(written.changed)
    assert f"{place}/w.safetensors -> cifar_resnet20@w.safetensors" in said
    assert f"metrics.data.location: {place}/pictures -> pictures" in said
    assert "metrics.data.broken_images: left out" in said


def test_nested_runs_lose_their_places_too(written: HubFolder) -> None:
    networks = {
        path: ref.network for path, ref in read_plan(written.path / "plan.yaml").all_sources()
    }
    assert networks == {
        "a": "cifar_resnet20@w.safetensors",
        "b": "inner",
        "b.q": "cifar_resnet20@w.safetensors",
    }


def test_the_card_has_the_metadata_of_the_hub(written: HubFolder) -> None:
    data = metadata(written.path)
    assert data["library_name"] == "convgraft"
    assert data["pipeline_tag"] == "image-classification"
    assert data["license"] == "apache-2.0"
    assert data["datasets"] == ["ann/pictures"]
    assert data["tags"] == ["cnn", "model-fusion", "parallel"]
    [index] = data["model-index"]
    assert index["name"] == "Pets: 3 kinds"
    [result] = index["results"]
    assert result["dataset"] == {"name": "ann/pictures", "type": "ann/pictures", "split": "test"}
    figures = {figure["type"]: figure["value"] for figure in result["metrics"]}
    # the calibration error is not a number here, and YAML for the Hub has no word for that
    assert figures == {"accuracy": 0.875, "balanced_accuracy": 0.8, "nll": 0.5}


def test_the_card_survives_reading_and_writing_and_has_no_other_front(written: HubFolder) -> None:
    from huggingface_hub import ModelCard, ModelCardData
    from huggingface_hub.repocard_data import model_index_to_eval_results

    text = (written.path / "README.md").read_text()
    card = ModelCard(text)
    assert str(card) == text
    assert isinstance(card.data, ModelCardData)
    assert len(card.data.eval_results or ()) == 3
    assert model_index_to_eval_results(card.data.to_dict()["model-index"])[0] == "Pets: 3 kinds"
    assert "convgraft pull ann/pets --out runs/pets" in card.text
    assert "# Pets: 3 kinds" in card.text and "87.50 %" in card.text


def test_without_figures_there_is_no_index(copy: Path, tmp_path: Path) -> None:
    (copy / "metrics.json").write_text("{}")
    data = metadata(hub_folder(copy, tmp_path / "hub").path)
    assert data == {
        "library_name": "convgraft",
        "pipeline_tag": "image-classification",
        "tags": ["cnn", "model-fusion"],
    }


def test_the_configuration_says_what_other_tools_ask_for(written: HubFolder) -> None:
    told = json.loads((written.path / "config.json").read_text())
    assert told["id2label"] == {"0": "x", "1": "y", "2": "z"}
    assert told["label2id"] == {"x": 0, "y": 1, "z": 2}
    assert (told["image_size"], told["num_labels"], told["answer"]) == (8, 3, "label")
    assert told["plan_hash"] == read_plan(written.path / "plan.yaml").hash


def test_weights_and_models_go_to_large_file_storage(written: HubFolder) -> None:
    lines = (written.path / ".gitattributes").read_text().splitlines()
    assert lines == GIT_ATTRIBUTES.splitlines()
    for pattern in ("*.safetensors", "*.onnx"):
        assert f"{pattern} filter=lfs diff=lfs merge=lfs -text" in lines


def test_a_hub_folder_of_a_hub_folder_is_the_same(written: HubFolder, tmp_path: Path) -> None:
    card = CardOptions("Pets: 3 kinds", "ann/pets", "apache-2.0", ("ann/pictures",))
    again = hub_folder(written.path, tmp_path / "again", card=card)
    assert not again.changed
    for name in WRITTEN:
        assert (again.path / name).read_bytes() == (written.path / name).read_bytes(), name


def test_the_split_comes_only_when_asked_for(small: Path, tmp_path: Path) -> None:
    with_it = hub_folder(small, tmp_path / "hub", with_split=True)
    assert (with_it.path / "split.csv").read_text() == (small / "split.csv").read_text()
    told = json.loads((with_it.path / "metrics.json").read_text())
    assert told["data"]["broken_images"] == ["cats/half.png"]


def test_what_would_tell_of_this_machine_all_the_same_is_refused(
    place: Path, copy: Path, tmp_path: Path
) -> None:
    classes = ["x", f"{place}/small/of a kind", "z"]
    (copy / "labels.json").write_text(json.dumps({"classes": classes}))
    with pytest.raises(ArtifactError, match=r"labels\.json would tell") as caught:
        hub_folder(copy, tmp_path / "hub")
    assert caught.value.found is not None and str(place) in caught.value.found
    assert {file.name for file in tmp_path.iterdir()} == {"copy"}


def test_a_folder_that_is_in_use_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArtifactError, match="there already"):
        hub_folder(run, tmp_path)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        (CardOptions(license="Apache 2"), "Apache 2"),
        (CardOptions(repo="hf://ann/pets"), "hf://ann/pets"),
        (CardOptions(datasets=("a/b/c",)), "a/b/c"),
    ],
)
def test_names_that_the_hub_cannot_have(
    run: Path, tmp_path: Path, options: CardOptions, culprit: str
) -> None:
    with pytest.raises(UsageError, match=culprit):
        hub_folder(run, tmp_path / "hub", card=options)


def test_the_missing_extra_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(UsageError) as caught:
        hub_folder(run, tmp_path / "hub")
    assert caught.value.hint == 'pip install "convgraft[hub]"'


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("labels.json", '{"classes": ["x", "y"]}', "is not of this network"),
        ("labels.json", '{"classes": ["x", "y", "x"]}', '"x" twice'),
        ("labels.json", '{"classes": "xyz"}', "holds no labels"),
        ("labels.json", '{"classes": ["x", "y", "z"], "columns": [1]}', "holds no labels"),
        ("labels.json", '{"classes": ["x", "y", "z"], "columns": {"k": ["a"]}}', "no answer"),
        ("labels.json", "[" * 100_000, "cannot be read"),
        ("metrics.json", "[]", "cannot be read"),
        ("model.safetensors", "PK", "cannot be read"),
        ("plan.yaml", None, "no plan.yaml"),
        ("metrics.json", None, "no metrics.json"),
    ],
)
def test_damaged_folders_are_refused(
    copy: Path, name: str, content: str | None, match: str
) -> None:
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_text(content)
    with pytest.raises(ArtifactError) as caught:
        check_artifact(copy)
    assert match in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("dropout: 0.1", "dropout: 0.2", "do not belong together"),
        ("cifar_resnet20@", "filters/sobel+kernels:file=", "reads its kernels from a file"),
        ("network: cifar_resnet20@", "network: /etc/", "names no network"),
    ],
)
def test_plans_of_something_else_are_refused(copy: Path, old: str, new: str, match: str) -> None:
    tampered(copy / "plan.yaml", old, new)
    with pytest.raises(ArtifactError, match=match):
        check_artifact(copy)


@pytest.mark.parametrize("notes", [{"held": "3"}, {"held": "{"}, {"sources": '{"a": 1}'}])
def test_weights_with_notes_of_another_make_are_refused(copy: Path, notes: dict[str, str]) -> None:
    file = copy / "model.safetensors"
    save_file(load_file(file), file, metadata={**weights_metadata(file), **notes})
    with pytest.raises(ArtifactError, match="did not write"):
        check_artifact(copy)


def test_links_may_not_lead_out_of_a_folder_of_strangers(copy: Path, tmp_path: Path) -> None:
    check_artifact(copy, within=copy)
    outside = tmp_path / "metrics.json"
    shutil.move(copy / "metrics.json", outside)
    (copy / "metrics.json").symlink_to(outside)
    check_artifact(copy)
    with pytest.raises(ArtifactError, match="leads out of its folder"):
        check_artifact(copy, within=copy)


def test_notes_of_another_make_are_told_and_not_guessed(copy: Path, tmp_path: Path) -> None:
    (copy / "metrics.json").write_text('{"rows": [{"arm": "a"}]}')
    with pytest.raises(ArtifactError, match="not as convgraft writes them"):
        hub_folder(copy, tmp_path / "hub")
