"""Pickles wherever a file is taken: under every name, in every format that can hold one."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hostile_case import Case, Payload, Place

from convgraft.errors import UsageError
from convgraft.export import load
from convgraft.export.program import open_program
from convgraft.predict import open_classifier
from convgraft.sources import source
from convgraft.training.stage_runner import _stage_in


def _bare(place: Place, path: Path, protocol: int = 2) -> None:
    path.write_bytes(pickle.dumps(Payload(place.marker), protocol))


def _bare_new(place: Place, path: Path) -> None:
    _bare(place, path, 5)


def _oldest(place: Place, path: Path) -> None:
    _bare(place, path, 0)


def _zipped(place: Place, path: Path) -> None:
    torch.save({"filter.weight": Payload(place.marker)}, path)


def _legacy(place: Place, path: Path) -> None:
    state = {"filter.weight": Payload(place.marker)}
    torch.save(state, path, _use_new_zipfile_serialization=False)


def _beside_tensors(place: Place, path: Path) -> None:
    state = {"filter.weight": torch.zeros(3, 1, 3, 3)}
    torch.save({"state_dict": state, "args": Payload(place.marker)}, path)


def _as_key(place: Place, path: Path) -> None:
    """A pickle that runs before the state dict is there."""
    whole = pickle.dumps((Payload(place.marker), {"filter.weight": 1}), 2)
    path.write_bytes(whole)


WRITERS: dict[str, Callable[[Place, Path], None]] = {
    "a bare pickle": _bare,
    "a bare pickle of protocol 5": _bare_new,
    "a bare pickle of protocol 0": _oldest,
    "a pickle in a zip": _zipped,
    "a legacy checkpoint": _legacy,
    "a payload beside a state dict": _beside_tensors,
    "a payload in a tuple": _as_key,
}
READERS: dict[str, Callable[[Path], object]] = {
    **dict.fromkeys(("w.pth", "w.pt", "w.safetensors"), lambda path: source(f"filters/box@{path}")),
    **dict.fromkeys(
        ("k.npy", "k.npz", "k.safetensors"), lambda path: source(f"filters/kernels:file={path}")
    ),
    "m.onnx": open_classifier,
    "m.pt2": open_program,
}


def pickle_cases(run: Path) -> Iterator[Case]:
    """Every way to write a pickle under every name; then those that only one format has."""
    for how, write in WRITERS.items():
        for name, read in READERS.items():
            yield Case(f"{how} as {name}", _attack(write, name, read), name)
    yield Case("a pickle as a run's weights", lambda place: _weights(place, run), "safetensors")
    yield Case("a payload in a checkpoint of a fit", _checkpoint, "fit.ckpt")
    for what, array in (("an array of objects", True), ("objects in an archive", False)):
        yield Case(what, lambda place, alone=array: _objects(place, alone), "k.np")
    for what, entries in _programs().items():
        yield Case(f"a .pt2 file with {what}", _program_attack(entries), "m.pt2")


def _attack(
    write: Callable[[Place, Path], None], name: str, read: Callable[[Path], object]
) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        write(place, place.inside / name)
        read(place.inside / name)

    return attack


def _weights(place: Place, run: Path) -> None:
    for file in run.iterdir():
        (place.inside / file.name).write_bytes(file.read_bytes())
    (place.inside / "SHA256SUMS").unlink(missing_ok=True)
    _zipped(place, place.inside / "model.safetensors")
    load(place.inside)


def _checkpoint(place: Place) -> None:
    torch.save({"convgraft": Payload(place.marker)}, place.inside / "fit.ckpt")
    try:
        _stage_in(place.inside / "fit.ckpt", ())
    except pickle.UnpicklingError as error:  # PyTorch's own refusal
        raise UsageError(f"fit.ckpt: {error}", hint="the fit anew") from error


def _objects(place: Place, alone: bool) -> None:
    array = np.array([Payload(place.marker)], dtype=object)
    path = place.inside / ("k.npy" if alone else "k.npz")
    if alone:
        np.save(path, array, allow_pickle=True)
    else:
        np.savez(path, kernels=array)
    source(f"filters/kernels:file={path}")


Entries = Callable[[Place], dict[str, bytes]]


def _programs() -> dict[str, Entries]:
    def pickled(place: Place) -> bytes:
        buffer = io.BytesIO()
        torch.save({"x": Payload(place.marker)}, buffer)
        return buffer.getvalue()

    def config(kind: str) -> bytes:
        entry: dict[str, Any] = {"path_name": f"{kind}_0", "is_param": True, "use_pickle": True}
        return json.dumps({"config": {"w": {**entry, "tensor_meta": None}}}).encode()

    def sized(text: str) -> bytes:
        return json.dumps({"graph_module": {"size": {"as_expr": {"expr_str": text}}}}).encode()

    own = "__import__('os').mkdir('../ran')"
    return {
        "legacy weights": lambda place: {"data/weights/model.pt": pickled(place)},
        "legacy constants": lambda place: {"data/constants/model.pt": pickled(place)},
        "pickled inputs": lambda place: {"data/sample_inputs/model.pt": pickled(place)},
        "pickled weights": lambda place: {
            "data/weights/model_weights_config.json": config("weight"),
            "data/weights/weight_0": pickled(place),
        },
        "a pickled object": lambda place: {
            "data/constants/opaque_obj_0": pickle.dumps(Payload(place.marker))
        },
        "compiled code": lambda place: {"data/aotinductor/model/a.so": b"\x7fELF"},
        "code for a size": lambda place: {"models/model.json": sized(own)},
        "a name that climbs": lambda place: {"../../outside/evil": b"x"},
        "a second program": lambda place: {"models/other.json": b"{}"},
        "a program that is no object": lambda place: {"models/model.json": b"[]"},
        "a program nested too deeply": lambda place: {"models/model.json": b'{"a":' * 100_000},
    }


def _program_attack(entries: Entries) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        path = place.inside / "m.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("m/archive_format", "pt2")
            archive.writestr("m/archive_version", "0")
            archive.writestr("m/byteorder", "little")
            for name, content in entries(place).items():
                archive.writestr(f"m/{name}", content)
        open_program(path)

    return attack
