"""Pictures under the names of the paper's image sets."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

COLOURS = {"blue": (20, 30, 220), "green": (20, 210, 40), "red": (220, 30, 20)}


def picture(colour: tuple[int, int, int], rng: np.random.Generator) -> Image.Image:
    """A noisy picture of one colour."""
    noise = rng.integers(-40, 40, (16, 16, 3))
    return Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))


def write_set(path: Path, target: str, per_class: int, rng: np.random.Generator) -> None:
    """Pictures as a Parquet file, as the Hugging Face hub has them."""
    items, labels = [], []
    for label, colour in enumerate(COLOURS.values()):
        for number in range(per_class):
            file = BytesIO()
            picture(colour, rng).save(file, "PNG")
            items.append({"bytes": file.getvalue(), "path": f"{label}-{number}.png"})
            labels.append(label)
    features = {target: {"_type": "ClassLabel", "names": list(COLOURS)}}
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(
        pa.table({"img": items, target: labels}).replace_schema_metadata(told), path
    )


def write_sets(folder: Path) -> Path:
    """Three colours under the names of the paper's sets; one picture lies there twice."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / "natural_images" / name).mkdir(parents=True)
        for number in range(20):
            picture(colour, rng).save(folder / "natural_images" / name / f"{number:02}.png")
    copied = (folder / "natural_images" / "red" / "00.png").read_bytes()
    (folder / "natural_images" / "red" / "19.png").write_bytes(copied)
    write_set(folder / "cifar100" / "train.parquet", "fine_label", 20, rng)
    write_set(folder / "cifar100" / "test.parquet", "fine_label", 5, rng)
    write_set(folder / "mnist10k" / "all.parquet", "label", 20, rng)
    return folder
