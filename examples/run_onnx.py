"""Run an exported network with ONNX Runtime and NumPy alone: no PyTorch, no convgraft.

    python run_onnx.py model.onnx pictures.npy      uint8, [N, H, W, 3] or as the file's layout says
    python run_onnx.py model.onnx photo.jpg ...     any size; needs Pillow to decode

Prints one line of JSON an image.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def read_images(path: Path, layout: str) -> np.ndarray:
    """Images of a file, uint8, four-dimensional, in the layout that the network takes."""
    if path.suffix == ".npy":
        return np.load(path)
    from PIL import Image

    image = np.asarray(Image.open(path).convert("RGB"))[None]
    return image if layout == "nhwc" else image.transpose(0, 3, 1, 2)


def main(model: str, *files: str) -> None:
    """Print label and probability of every image."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    labels = json.loads(facts["labels"])
    for file in files:
        images = read_images(Path(file), facts["layout"])
        probabilities, index = session.run(["probabilities", "index"], {"images": images})
        for number, (row, top) in enumerate(zip(probabilities, index, strict=True)):
            found = {"label": labels[top], "probability": float(row[top])}
            print(json.dumps({"file": file, "image": number, **found}))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
