"""Every kind of wrong use: one clear message that names the culprit, exit code 2, no traceback."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers_cli import convgraft, write_pictures
from PIL import Image

NET = "cifar_resnet20"


class Place:
    """What the cases below may refer to."""

    def __init__(self, tmp: Path, pictures: Path, weights: Path, run: Path) -> None:
        self.tmp, self.pictures, self.weights, self.run = tmp, pictures, weights, run
        self.out = tmp / "out"

    def file(self, name: str, content: str | bytes = "") -> Path:
        path = self.tmp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def fit(self, *more: object, data: object = None, models: tuple[object, ...] = (NET, NET)):
        given = ["--models", *models] if models else []
        size = [] if "--image-size" in more or "--plan" in more else ["--image-size", 16]
        return ["fit", data or self.pictures, *given, *size, "--out", self.out, *more]

    def ensemble(self, *given: object) -> list[object]:
        return ["ensemble", *given, "--out", self.out]

    def plan(self, text: str):
        return ["explain", self.file("plan.yaml", text)]


def _pickled(place: Place) -> Path:
    return place.file("evil.pth", pickle.dumps(print))


def _copy(place: Place) -> Path:
    return shutil.copytree(place.run, place.tmp / "copy")


def _one_class(place: Place) -> Path:
    shutil.copytree(place.pictures / "red", place.tmp / "one" / "red")
    return place.tmp / "one"


def _empty_class(place: Place) -> Path:
    data = shutil.copytree(place.pictures, place.tmp / "data")
    (data / "violet").mkdir()
    return data


def _two_labels(place: Place) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = [path.read_bytes() for path in sorted(place.pictures.rglob("*.png"))]
    table = pa.table({"img": images, "fine": [i % 3 for i in range(36)], "coarse": [0, 1] * 18})
    pq.write_table(table, place.tmp / "set.parquet")
    return place.tmp / "set.parquet"


def _other_colours(place: Place) -> Path:
    data = shutil.copytree(place.pictures, place.tmp / "data")
    return data.joinpath("red").rename(data / "violet").parent


def _other_order(place: Place) -> Path:
    copy = _copy(place)
    names = json.loads((copy / "labels.json").read_text())["classes"]
    (copy / "labels.json").write_text(json.dumps({"classes": names[::-1]}))
    return copy


def _other_plan(place: Place) -> Path:
    copy = _copy(place)
    text = (copy / "plan.yaml").read_text()
    (copy / "plan.yaml").write_text(text.replace("start: zero", "start: one"))
    return copy


def _without_weights(place: Place) -> Path:
    copy = _copy(place)
    (copy / "model.safetensors").unlink()
    return copy


def _with_python_source(place: Place) -> Path:
    copy = _copy(place)
    text = (copy / "plan.yaml").read_text()
    (copy / "plan.yaml").write_text(text.replace("network: cifar_resnet20", "network: python:os:a"))
    return copy


HEAD = "heads: {label: {kind: linear, from: [a:features], classes: 3}}\n"
TWO = "image_size: 32\nsources: {a: cifar_resnet20, b: cifar_resnet20}\n" + HEAD
WIRE = TWO + "wires: [{from: %s, to: %s, join: %s, adapter: %s, start: %s}]\n"

Case = tuple[Callable[[Place], list[object]], str]
CASES: dict[str, Case] = {
    # networks and weights
    "unknown torchvision model": (
        lambda p: ["taps", "torchvision/resnet81"], "did you mean resnet18"),
    "unknown timm model": (lambda p: ["taps", "timm/resnet10x"], "did you mean resnet10t"),
    "unknown built-in": (lambda p: ["taps", "cifar_resnet21"], "cifar_resnet20"),
    "library forgotten": (lambda p: ["taps", "resnet18"], "torchvision/resnet18"),
    "not a spec": (lambda p: ["taps", "foo/bar"], "does not name a network"),
    "no weights after @": (lambda p: ["taps", f"{NET}@"], "names no weights"),
    "weights file missing": (
        lambda p: ["taps", f"{NET}@{p.weights.parent}/nett.safetensors"],
        "did you mean net.safetensors"),
    "weights of another kind": (
        lambda p: ["taps", f"{NET}@{p.file('w.h5')}"], ".safetensors, .pth or .pt"),
    "weights of another architecture": (
        lambda p: ["taps", f"cifar_resnet32@{p.weights}"], "lacks layer1.3"),
    "damaged safetensors": (
        lambda p: ["taps", f"{NET}@{p.file('w.safetensors', b'x' * 50)}"], "cannot be read"),
    "pickled object": (lambda p: ["taps", f"{NET}@{_pickled(p)}"], "cannot be loaded safely"),
    "python source missing": (
        lambda p: ["taps", "python:no_such_module:net"], "cannot be imported"),
    "python source of another kind": (
        lambda p: ["taps", "python:os:getcwd"], "does not make an nn.Module"),
    "run with several sources": (
        lambda p: ["taps", f"{NET}@{p.run}"], "SOURCE one of: a, b"),
    "image too small": (
        lambda p: ["taps", "torchvision/inception_v3", "--image-size", 30], "--image-size"),
    "image too small for a join": (
        lambda p: p.fit("--image-size", 32, models=("torchvision/inception_v3", NET)),
        "does not pass through the network"),
    # selections
    "unknown kind of tap": (
        lambda p: ["taps", NET, "--select", "kind:blok"], "did you mean block"),
    "depth that is no range": (lambda p: ["taps", NET, "--select", "depth:0.5"], "0.3..0.6"),
    "selection of nothing": (lambda p: ["taps", NET, "--select", "leyer*"], "selects none"),
    # plans
    "plan missing": (lambda p: ["explain", p.tmp / "none.yaml"], "convgraft fit ... --out RUN"),
    "plan is not YAML": (lambda p: p.plan("sources: ["), "plan.yaml:1:11"),
    "plan with an unknown key": (
        lambda p: p.plan("image_size: 32\nsources: {a: cifar_resnet20}\nwire: []\n"),
        "plan.yaml:3:1"),
    "tap not found": (
        lambda p: p.plan(WIRE % ("a:layer1", "b:leyer1", "add", "conv1x1", "zero")),
        "did you mean layer1"),
    "source not found": (
        lambda p: p.plan(WIRE % ("c:layer1", "b:layer1", "add", "conv1x1", "zero")),
        "names no source"),
    "cycle": (
        lambda p: p.plan(TWO + "wires:\n- {from: a:layer3, to: b:layer1}\n"
                         "- {from: b:layer2, to: a:layer1}\n"),
        "in a circle"),
    "shapes that cannot be joined": (
        lambda p: p.plan(WIRE % ("a:layer1", "b:layer2", "add", "identity", "zero")),
        "[32, 16, 16]"),
    "unknown join": (
        lambda p: p.plan(WIRE % ("a:layer1", "b:layer1", "ad", "conv1x1", "zero")),
        "did you mean add"),
    "unknown adapter": (
        lambda p: p.plan(WIRE % ("a:layer1", "b:layer1", "add", "conv", "zero")), "conv1x1"),
    "start that makes no sense": (
        lambda p: p.plan(WIRE % ("a:layer1", "b:layer1", "replace", "conv1x1", "zero")),
        "start: one"),
    "no sources": (lambda p: p.plan("image_size: 32\nsources: {}\n"), "nothing to combine"),
    "head of unknown kind": (
        lambda p: p.plan(TWO.replace("linear", "liner")), "did you mean linear"),
    "head for other classes than the data's": (
        lambda p: p.fit("--plan", p.file("p.yaml", TWO.replace("classes: 3", "classes: 4")),
                        models=()),
        "4 classes"),
    # data
    "data missing": (lambda p: p.fit(data=p.pictures.parent / "picturs"), "did you mean pictures"),
    "no images": (
        lambda p: p.fit(data=p.file("texts/a/readme.txt").parents[1]), "texts"),
    "empty class folder": (lambda p: p.fit(data=_empty_class(p)), "violet"),
    "one class only": (lambda p: p.fit(data=_one_class(p)), "one class"),
    "a picture instead of a set": (
        lambda p: p.fit(data=p.pictures / "red" / "00.png"), "00.png"),
    "column not named": (lambda p: p.fit(data=_two_labels(p)), "--target"),
    "column missing": (
        lambda p: p.fit("--target", "fin", data=_two_labels(p)), "did you mean fine"),
    "target for folders": (lambda p: p.fit("--target", "fine"), "fine"),
    "limit above what there is": (lambda p: p.fit("--limit", 1000), "1000"),
    "limit below the classes": (lambda p: p.fit("--limit", 2), "3"),
    # fit
    "nothing to combine": (lambda p: p.fit(models=()), "--models"),
    "one network for a join": (lambda p: p.fit(models=(NET,)), "at least 2"),
    "unknown strategy": (lambda p: p.fit("--strategy", "paralel"), "did you mean parallel"),
    "unknown freeze preset": (lambda p: p.fit("--freeze", "head-only"), "did you mean heads-only"),
    "unknown augmentation": (lambda p: p.fit("--augment", "lite"), "light"),
    "unknown optimizer": (lambda p: p.fit("--optimizer", "adam"), "did you mean adamw"),
    "no epochs": (lambda p: p.fit("--epochs", 0), "epochs"),
    "hidden widths that are no numbers": (lambda p: p.fit("--hidden", "a,b"), "256,64"),
    "unknown start": (lambda p: p.fit("--start", "two"), "start: zero"),
    "out folder with a finished run": (
        lambda p: [*p.fit()[:-1], p.run], "a finished run"),
    "out folder with other files": (
        lambda p: ["fit", p.pictures, "--models", NET, NET, "--image-size", 16,
                   "--out", p.file("mine/thesis.txt", "x").parent, "--overwrite"],
        "are not overwritten"),
    "out is a file": (
        lambda p: ["fit", p.pictures, "--models", NET, NET, "--out", p.file("f", "x")],
        "is a file"),
    "unknown option": (lambda p: p.fit("--epoch", 3), "--epoch"),
    "a batch of one": (lambda p: p.fit("--batch-size", 1), "one image"),
    "unknown accelerator": (lambda p: p.fit("--accelerator", "gpuu"), "did you mean gpu"),
    "unknown precision": (lambda p: p.fit("--precision", "foo"), "bf16-mixed"),
    "head options beside a plan": (
        lambda p: p.fit("--plan", p.file("p.yaml", TWO), "--hidden", "8", models=()), "--hidden"),
    "out folder that a source is read from": (
        lambda p: ["fit", p.pictures, "--models", f"{NET}@{p.run}#a", NET, "--image-size", 16,
                   "--out", p.run, "--overwrite"],
        "is read from"),
    "policy that selects nothing": (
        lambda p: p.fit("--freeze", p.file("f.yaml", '"a:leyer1": frozen\n')), "a:leyer1"),
    "policy under which nothing learns": (
        lambda p: p.fit("--freeze", p.file("f.yaml", '"**": frozen\nheads: frozen\n'
                                           "adapters: frozen\n")),
        "nothing learns"),
    "test images that a run has learned from": (
        lambda p: p.fit("--seed", 1, models=(p.run, NET)), "--seed 0, which the run was made with"),
    "a study's test images that a run has learned from": (
        lambda p: ["study", "ladder", p.pictures, "--models", p.run, NET, "--image-size", 16,
                   "--seeds", 2, "--out", p.out],
        "has learned from"),
    "a teacher with the classes in another order": (
        lambda p: p.fit("--strategy", "distil", models=(NET, _other_order(p))), "another order"),
    "label columns that nothing answers": (
        lambda p: p.fit("--target", "fine", "coarse", "--strategy", "parallel",
                        data=_two_labels(p)),
        "--strategy multitask"),
    "too few epochs for the phases": (
        lambda p: p.fit("--freeze", "gradual", "--epochs", 2), "too few"),
    "a loss that reaches nothing that learns": (
        lambda p: p.fit("--freeze", "heads-only", "--loss", "mse", "--strategy", "stitch"),
        "has a part in the loss"),
    # runs
    "run missing": (lambda p: ["predict", p.tmp / "no", p.pictures], "no run at"),
    "run unfinished": (
        lambda p: ["predict", _without_weights(p), p.pictures], "no model.safetensors"),
    "plan and weights of two runs": (
        lambda p: ["explain", _other_plan(p)], "do not belong together"),
    "run that wants to run code": (lambda p: ["explain", _with_python_source(p)], "python"),
    "picture missing": (lambda p: ["predict", p.run, p.tmp / "x.png"], "does not exist"),
    "split that is none": (
        lambda p: ["evaluate", p.run, p.pictures, "--split", "tset"], "test"),
    "network for other classes than the data's": (
        lambda p: ["evaluate", NET, p.pictures], "--strategy probe"),
    "class that the run does not know": (
        lambda p: ["evaluate", p.run, write_pictures(p.tmp / "x").joinpath("red").rename(
            p.tmp / "x" / "violet").parent],
        "violet"),
    # ensembles
    "ensemble of one": (lambda p: p.ensemble(NET), "two or more"),
    "vote that is none": (
        lambda p: p.ensemble(NET, NET, "--vote", "wieghted"), "did you mean weighted"),
    "fitted vote without data": (lambda p: p.ensemble(NET, NET, "--vote", "stack"), "--data DATA"),
    "images to hold out of no data": (
        lambda p: p.ensemble(NET, NET, "--held-out", 5), "no --data"),
    "vote named twice": (
        lambda p: p.ensemble(NET, NET, "--vote", "hard", "hard"), "named once"),
    "cost without a cascade": (
        lambda p: p.ensemble(NET, NET, "--max-cost", 5), "--vote cascade"),
    "cascade that is too cheap": (
        lambda p: p.ensemble(NET, NET, "--vote", "cascade", "--data", "digits",
                             "--image-size", 8, "--max-cost", 0.001),
        "no cascade is as cheap"),
    "members of different classes": (
        lambda p: p.ensemble(p.run, NET), "different numbers of classes"),
    "members and data of different classes": (
        lambda p: p.ensemble(p.run, p.run, "--data", _other_colours(p)), "different classes"),
    "runs with the same classes in another order": (
        lambda p: p.ensemble(p.run, _other_order(p)), "another order"),
    "more held-out images than there are": (
        lambda p: p.ensemble(p.run, p.run, "--data", p.pictures, "--held-out", 1000),
        "cannot be held out"),
    "test on the images of the fit": (
        lambda p: p.ensemble(p.run, p.run, "--data", p.pictures, "--split", "test",
                             "--test", p.pictures),
        "tested on images that they are fitted on"),
    "ensemble written over a member": (
        lambda p: ["ensemble", p.run, p.run, "--out", p.run, "--overwrite"], "is read from"),
    "member that is no run": (lambda p: p.ensemble(p.pictures, NET), "plan.yaml"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_wrong_use(name: str, tmp_path: Path, pictures: Path, weights: Path, run: Path) -> None:
    command, expected = CASES[name]
    place = Place(tmp_path, pictures, weights, run)
    outcome = convgraft(*command(place))
    assert outcome.code == 2, f"{outcome.code}: {outcome.err}{outcome.out}"
    assert expected in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert not (place.out / "model.safetensors").exists()


def test_there_are_at_least_thirty_kinds() -> None:
    assert len(CASES) >= 30


def test_all_problems_of_a_plan_are_told_at_once(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(TWO + "wires:\n- {from: a:x, to: b:y, join: z}\n- {from: c:x, to: a:layer1}\n")
    told = convgraft("explain", plan).err
    for part in ('"x"', '"y"', '"z"', '"c:x"'):
        assert part in told


def test_no_command_shows_help_and_version_is_told() -> None:
    assert "Combine CNN" in convgraft("--help").out
    assert convgraft("--version").out.startswith("convgraft ")


def test_help_names_the_grammar_and_the_arguments() -> None:
    told = " ".join(convgraft("fit", "--help").out.split())
    assert "ARCH[@WEIGHTS]" in told
    assert "DATA" in told
    assert "ARCH[@WEIGHTS]" in convgraft("taps", "--help").out


def test_json_is_json_and_nothing_else(pictures: Path) -> None:
    assert json.loads(convgraft("taps", NET, "--select", "layer*", "--json").out)["taps"]


def test_a_picture_of_one_pixel_is_predicted(run: Path, tmp_path: Path) -> None:
    Image.new("L", (1, 1)).save(tmp_path / "dot.png")
    assert convgraft("predict", run, tmp_path / "dot.png", "--json").code == 0
