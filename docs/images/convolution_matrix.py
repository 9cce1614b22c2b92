"""Draws `convolution_matrix.svg` beside it: a 3x3 convolution of a 5x5 image as a dense layer.

python docs/images/convolution_matrix.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from torch import nn

from convgraft.layers import as_dense

OUT = Path(__file__).with_suffix(".svg")


def main() -> None:
    """Write the picture; the same file each time."""
    mpl.rcParams["svg.hashsalt"] = "convgraft"
    conv = nn.Conv2d(1, 1, 3, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.arange(9.0).view(1, 1, 3, 3))  # the number of each weight
    matrix = as_dense(conv, 5)
    colours = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8, 3.6), width_ratios=(3, 25), layout="constrained"
    )
    for axes, shape in ((left, (3, 3)), (right, tuple(matrix.shape))):
        axes.set(xlim=(0, shape[1]), ylim=(shape[0], 0), aspect="equal", xticks=[], yticks=[])
    for number in range(9):
        cell = (number % 3, number // 3)
        left.add_patch(Rectangle(cell, 1, 1, facecolor=colours[number], edgecolor="white"))
    for output, pixel, number in zip(*matrix.indices(), matrix.values(), strict=True):
        cell = (int(pixel), int(output))
        colour = colours[int(number)]
        right.add_patch(Rectangle(cell, 1, 1, facecolor=colour, edgecolor="white"))
    right.set_xticks([5 * r + 2.5 for r in range(5)], [f"row {r}" for r in range(5)])
    for row in range(5, 25, 5):
        right.axvline(row, color="0.8", linewidth=0.8)
    left.set_title("filter", fontsize=10)
    right.set_title("the same convolution as a dense layer", fontsize=10)
    right.set_xlabel("25 pixels of the image")
    right.set_ylabel("9 outputs")
    figure.savefig(OUT, metadata={"Date": None})


if __name__ == "__main__":
    main()
