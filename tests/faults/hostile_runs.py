"""Run folders of strangers: what a plan asks for, what the small files hold, where links lead."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from hostile_case import SECRET, Case, Place
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from convgraft import source
from convgraft.export import load, save
from convgraft.export.checksums import CHECKSUMS
from convgraft.opening import compile_plan
from convgraft.plan import Head, Plan, SourceRef, TapRef, read_plan

OWN = "network: filters/box"
ESCAPES = "\x1b[2J\x1b]0;mine\x07"
CODE = """
import pathlib
from torch import nn

pathlib.Path(MARKER).mkdir()

def build(num_classes=3):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, num_classes))
"""


def write_run(folder: Path, seed: int = 0) -> Path:
    """A small run that loads in a few milliseconds: fixed filters and a linear head."""
    plan = Plan(
        8,
        (SourceRef("a", "filters/box"),),
        heads=(Head("label", "linear", (TapRef("a", "filter"),), 3),),
    )
    composite = compile_plan(plan, seed=seed).eval()
    with torch.no_grad():
        for weight in composite.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)))
    return save(folder, composite, labels=("x", "y", "z"), metrics={"test": {}})


def sign(folder: Path) -> None:
    """Note the plan's hash in the weights, as an attacker would, and leave the checksums out."""
    (folder / CHECKSUMS).unlink(missing_ok=True)
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
    metadata["convgraft_plan"] = read_plan(folder / "plan.yaml").hash
    save_file(load_file(path), path, metadata)


def run_cases(run: Path) -> Iterator[Case]:
    """Hostile plans, labels, metrics, notes and links; each in a copy of a run that loads."""
    for what, network in _networks().items():
        yield Case(f"a plan with {what}", _plan_attack(run, OWN, network), "run")
    for what, (old, new) in _plans().items():
        yield Case(f"a plan with {what}", _plan_attack(run, old, new))
    for what, labels in _labels().items():
        yield Case(f"labels: {what}", _text_attack(run, "labels.json", labels), "labels.json")
    for what, text in _metrics().items():
        yield Case(f"metrics: {what}", _text_attack(run, "metrics.json", text), "metrics.json")
    for what, notes in _notes().items():
        yield Case(f"notes: {what}", _notes_attack(run, notes), "model.safetensors")
        attack = _notes_attack(run, notes, "filters/box@{}#a")
        yield Case(f"notes of a source: {what}", attack, "model.safetensors", may_pass=True)
    for name in ("model.safetensors", "plan.yaml", "labels.json", "metrics.json", CHECKSUMS):
        for target in ("/dev/zero", "/dev/stdin", "pipe", "itself", "a folder"):
            yield Case(f"{name} is a link to {target}", _link_attack(run, name, target), "run")
    yield Case("weights of another plan", lambda place: _swapped(place, run), "run")
    yield Case("weights that are NaN", lambda place: _spoilt(place, run), "model.safetensors")


def _copy(place: Place, run: Path) -> Path:
    return Path(shutil.copytree(run, place.inside / "run"))


def _networks() -> dict[str, str]:
    python = "python:evil_network:build"

    def nested(network: str) -> str:
        return f"network: gone, plan: {{image_size: 8, sources: {{q: {network}}}}}"

    def deep(network: str) -> str:
        return nested(f"{{{nested(network)}}}")

    return {
        "Python code": f"network: {python}",
        "Python code after a space": f'network: " {python}"',
        "Python code after a tab": f'network: "\\t{python}"',
        "Python code after a line": f'network: "\\n{python}"',
        "Python code with weights": f"network: {python}@w.pth",
        "Python code in a run within": nested(python),
        "Python code after a space, within": nested(f'" {python}"'),
        "Python code two deep": deep(python),
        "Python code after a space, two deep": deep(f'" {python}"'),
        "another run": "network: ./other",
        "another run by run:": "network: run:./other",
        "another run after a space": 'network: " ./other"',
        "another run within": nested("./other"),
        "another run two deep": deep("run:./other"),
        "another run by its whole path": "network: WHOLE/other",
        "a folder of a network's name": "network: cifar_resnet20",
        "a module": "network: 'module:Own'",
        "a network of no library": "network: keras/resnet",
    }


def _plans() -> Mapping[str, tuple[str, str]]:
    size, head = "image_size: 8", "classes: 3\n"
    layers = ", ".join(["1"] * 2000)
    sources = "\n".join(f"  s{n}: filters/box" for n in range(1100))
    return {
        "images of no pixels": (size, "image_size: 0"),
        "images of -1 pixels": (size, "image_size: -1"),
        "images of 10**9 pixels": (size, "image_size: 1000000000"),
        "-1 classes": (head, "classes: -1\n"),
        "10**12 classes": (head, "classes: 1000000000000\n"),
        "a layer of 10**9": ("kind: linear", "kind: mlp\n    hidden: [1000000000]"),
        "2,000 layers": ("kind: linear", f"kind: mlp\n    hidden: [{layers}]"),
        "1,100 sources": ("sources:\n", f"sources:\n{sources}\n"),
        "10**9 classes of a network": (
            OWN + "\n    classes: 3",
            "network: cifar_resnet20\n    classes: 1000000000",
        ),
        "0 classes of a network": (
            OWN + "\n    classes: 3",
            "network: cifar_resnet20\n    classes: 0",
        ),
        "filters of 100,001 pixels": (OWN, "network: 'filters/gaussian:size=100001'"),
        "10**9 filters": (OWN, "network: 'filters/gabor:orientations=1000000000'"),
        "10**6 random filters": (OWN, "network: 'filters/random:size=255,channels=4096'"),
        "many large filters": (OWN, "network: 'filters/box:size=255" + "+gabor" * 5000 + "'"),
        "kernels from a device": (OWN, "network: 'filters/kernels:file=/dev/zero'"),
        "kernels from a text": (OWN, f"network: 'filters/kernels:file=../outside/{SECRET}.md'"),
        "a mean that is no number": ("mean: [0.0, 0.0, 0.0]", "mean: [.nan, 0, 0]"),
        "a deviation without end": ("std: [1.0, 1.0, 1.0]", "std: [1e999, 1, 1]"),
        "a name that moves the cursor": ("a:\n", '"\\e[2J":\n'),
        "a YAML tag": (OWN, "network: !!python/object/apply:os.mkdir ['../ran']"),
        "no sources": ("sources:", "wires: []\nsauces:"),
    }


def _labels() -> Mapping[str, object]:
    return {
        "-1": {"classes": -1},
        "of two types": {"classes": ["x", 2, "z"]},
        "nested": {"classes": ["x", ["y"], "z"]},
        "one twice": {"classes": ["x", "x", "z"]},
        "too few": {"classes": ["x"]},
        "half a letter": '{"classes": ["x", "\\ud800", "z"]}',
        "columns of nothing": {"classes": ["x", "y", "z"], "columns": {"other": ["a"]}},
        "columns that are a list": {"classes": ["x", "y", "z"], "columns": [1]},
        "a list": ["x", "y", "z"],
        "nested too deeply": '{"classes":' * 100_000,
        "a number of 10,000 digits": '{"classes": ' + "9" * 10_000 + "}",
        "cut off": '{"classes": ["x", "y"',
        "not UTF-8": b'{"classes": ["\xff", "y", "z"]}',
    }


def _metrics() -> Mapping[str, object]:
    return {
        "a list": [],
        "nested too deeply": "[" * 200_000,
        "half a letter": '{"arm": "\\udfff"}',
        "empty": "",
        "a pickle": b"\x80\x04N.",
    }


def _notes() -> Mapping[str, Mapping[str, str]]:
    def noted(**other: Any) -> Mapping[str, str]:
        own = {"network": "x", "classes": 3, "mean": [0, 0, 0], "std": [1, 1, 1], "size": None}
        return {"sources": json.dumps({"a": {**own, **other}}), "held": "3"}

    return {
        "sources nested too deeply": {"sources": '{"a":' * 100_000},
        "sources that are a list": {"sources": "[]"},
        "sources that are numbers": {"sources": '{"a": 1}'},
        "held that are numbers": {"held": "[1]"},
        "10**9 classes": noted(classes=10**9),
        "classes of text": noted(classes="many"),
        "a mean of text": noted(mean="no"),
        "a size of 10**9": noted(size="10"),
    }


def _plan_attack(run: Path, old: str, new: str) -> Callable[[Place], object]:
    """Another run lies beside it, and code in the working folder, for those who look there."""

    def attack(place: Place) -> None:
        folder = _copy(place, run)
        marker = repr(str(place.marker))
        (place.inside / "evil_network.py").write_text(CODE.replace("MARKER", marker))
        for other in (place.inside / "other", place.inside / "cifar_resnet20"):
            shutil.copytree(run, other)
            python = (
                (other / "plan.yaml")
                .read_text()
                .replace("filters/box", "python:evil_network:build")
            )
            (other / "plan.yaml").write_text(python)
            sign(other)
        plan = (folder / "plan.yaml").read_text()
        assert old in plan, plan
        whole = new.replace("WHOLE", str(place.inside))
        if "plan: {" in whole:  # in one line, with what follows it
            start = plan.index("    network:")
            end = plan.index("heads:")
            plan = plan[:start].rstrip().removesuffix("a:") + f"a: {{{whole}}}\n" + plan[end:]
        else:
            plan = plan.replace(old, whole)
        (folder / "plan.yaml").write_text(plan)
        sign(folder)
        load(folder)

    return attack


def _text_attack(run: Path, name: str, content: object) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        folder = _copy(place, run)
        (folder / CHECKSUMS).unlink()
        text = content if isinstance(content, (str, bytes)) else json.dumps(content)
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        (folder / name).write_bytes(data)
        load(folder)

    return attack


def _notes_attack(run: Path, notes: Mapping[str, str], spec: str = "") -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        folder = _copy(place, run)
        (folder / CHECKSUMS).unlink()
        path = folder / "model.safetensors"
        with safe_open(path, "pt") as file:
            metadata = {**file.metadata(), **notes}
        save_file(load_file(path), path, metadata)
        if spec:
            source(spec.format(folder))
        else:
            load(folder)

    return attack


def _link_attack(run: Path, name: str, target: str) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        folder = _copy(place, run)
        (folder / name).unlink()
        if target == "pipe":
            os.mkfifo(folder / name)
        elif target == "a folder":
            (folder / name).mkdir()
        else:
            (folder / name).symlink_to(name if target == "itself" else target)
        load(folder)

    return attack


def _swapped(place: Place, run: Path) -> None:
    folder = _copy(place, run)
    plan = (folder / "plan.yaml").read_text()
    (folder / CHECKSUMS).unlink()
    (folder / "plan.yaml").write_text(plan.replace("image_size: 8", "image_size: 16"))
    load(folder)


def _spoilt(place: Place, run: Path) -> None:
    folder = _copy(place, run)
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    state["heads.label.classifier.weight"][1, 1] = float("nan")
    save_file(state, path, metadata)
    sign(folder)
    load(folder)
