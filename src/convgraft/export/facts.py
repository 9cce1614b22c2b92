"""What an exported file says of itself, as plain texts, so that it needs no other file.

In an `.onnx` file these are `metadata_props`, in a `.pt2` file the extra file `convgraft.json`.

    labels        class names in label order, JSON
    columns       class names of the other label columns, JSON by column
    image_size    side in pixels that images are resized to inside
    layout        nhwc or nchw
    answer        name of the main answer in the plan
    plan          what the network is made of, in the plan's text form
    plan_hash     of the run it is from
    weights_hash  of the run's model.safetensors, SHA-256
    precision     float32, int8 or uint8
    version       of convgraft, that wrote it
    card          the run's card.md

Where weights and images lay on the machine that made it is in none of them: of a place its last
name is told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import convgraft
from convgraft.errors import ArtifactError
from convgraft.export.artifact import CARD, WEIGHTS, Run
from convgraft.export.contents import are_texts, plain_names
from convgraft.export.deployed import LAYOUTS
from convgraft.export.foreign import MAX_SIDE
from convgraft.export.hub.places import places_of, portable_plan

JSON_FIELDS = ("labels", "columns")


@dataclass(frozen=True)
class Facts:
    """The texts of one file; the module says what each means.

    Attributes:
        weights_hash: empty where the run was never saved.
    """

    labels: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    image_size: int
    layout: str
    answer: str
    plan: str
    plan_hash: str
    weights_hash: str = ""
    precision: str = "float32"
    version: str = ""
    card: str = ""

    def texts(self) -> dict[str, str]:
        """Everything as texts; `read_facts` reads them back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        dumped = {name: json.dumps(values[name], ensure_ascii=False) for name in JSON_FIELDS}
        return {**{name: str(value) for name, value in values.items()}, **dumped}

    def is_of(self, folder: str | Path) -> bool:
        """Whether this came from the weights that lie in a run's folder now."""
        return bool(self.weights_hash) and self.weights_hash == weights_hash(Path(folder))


def facts_of(run: Run, *, layout: str, precision: str = "float32") -> Facts:
    """What a file that is made from a run should say."""
    file, plan = run.folder / CARD, run.composite.complete_plan
    card = file.read_text(encoding="utf-8") if file.is_file() else ""
    return Facts(
        labels=run.labels,
        columns=run.columns,
        image_size=run.image_size,
        layout=layout,
        answer=plan.answer,
        plan=str(portable_plan(plan)),
        plan_hash=plan.hash,
        weights_hash=weights_hash(run.folder),
        precision=precision,
        version=convgraft.__version__,
        card=places_of(run.folder, plan, run.metrics).in_text(card),
    )


def read_facts(texts: Mapping[str, str], *, name: str = "the file") -> Facts:
    """What a file says of itself; raises ArtifactError where `convgraft export` did not write it.

    >>> session = onnxruntime.InferenceSession("model.onnx")               # doctest: +SKIP
    >>> read_facts(session.get_modelmeta().custom_metadata_map).labels     # doctest: +SKIP
    """
    try:
        loaded = {key: json.loads(texts[key]) for key in JSON_FIELDS}
        plain = {f.name: texts[f.name] for f in fields(Facts) if f.name not in JSON_FIELDS}
        facts = Facts(
            **{**plain, "image_size": int(plain["image_size"])},
            labels=_names(loaded["labels"]),
            columns={column: _names(names) for column, names in loaded["columns"].items()},
        )
        _check(facts)
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ArtifactError(
            f"{name} does not say what it is",
            expected="a file that convgraft export wrote",
            found=f"no {error.args[0]}" if isinstance(error, KeyError) else str(error),
            hint="convgraft export RUN",
        ) from error
    return facts


def _names(values: object) -> tuple[str, ...]:
    """Class names, each once; raises ValueError for anything else."""
    if not are_texts(values) or len(set(values)) != len(values):
        raise ValueError(f"labels that are not names, each once: {str(values)[:60]}")
    "".join(values).encode()  # half of a letter cannot be written
    return plain_names(values)


def _check(facts: Facts) -> None:
    if not 1 <= facts.image_size <= MAX_SIDE:
        raise ValueError(f"images with a side of {facts.image_size}")
    if facts.layout not in LAYOUTS:
        raise ValueError(f"images in the layout {facts.layout[:60]}")


def weights_hash(folder: Path) -> str:
    """SHA-256 of a run's weights file, in hex; empty where there is none."""
    try:
        with (folder / WEIGHTS).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
