"""A matching as Markdown, and the cells of its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convgraft.report.tables import markdown_table

STITCH_HEADER = ("front → back", "R²", "judged by", "back alone", "stitch", "points", "MACs")


def pair_header(data: Mapping[str, Any]) -> list[str]:
    """What stands above `pair_cells`; an R² is of the tap that is predicted."""
    left, right = (one["name"] for one in data["networks"])
    return [left, right, "CKA", f"R² of {right}", f"R² of {left}", "cost, %", "score"]


def pair_cells(data: Mapping[str, Any]) -> list[list[str]]:
    """The chosen pairs, a row each."""
    return [
        [
            pair["left"],
            pair["right"],
            *(share(pair[key]) for key in ("cka", "forward", "backward")),
            f"{100 * pair['cost']:.2f}",
            share(pair["score"]),
        ]
        for pair in data["pairs"]
    ]


def pair_reasons(data: Mapping[str, Any]) -> list[str]:
    """Why each pair was chosen, a line each."""
    left, right = (one["name"] for one in data["networks"])
    return [f"{left}:{p['left']} + {right}:{p['right']}: {p['why']}" for p in data["pairs"]]


def stitch_cells(data: Mapping[str, Any]) -> list[list[str]]:
    """The predicted stitches under `STITCH_HEADER`."""
    return [
        [
            f"{stitch['from']} → {stitch['to']}",
            share(stitch["r2"]),
            stitch["classifier"],
            f"{100 * stitch['alone']:.1f}",
            f"{100 * stitch['stitched']:.1f}",
            f"{stitch['points']:+.1f}",
            f"{stitch['macs'] / 1e6:.1f} M",
        ]
        for stitch in data["stitches"]
    ]


def share(value: float | None) -> str:
    """A share with two decimals; a dash where there is none."""
    return "-" if value is None else f"{value:.2f}"


def match_words(data: Mapping[str, Any]) -> str:
    """What was matched on what, in a sentence."""
    (left, right) = data["networks"]
    positions = data["positions"] or "all"
    return (
        f"{left['name']} = {left['network']}, {right['name']} = {right['network']} on "
        f"{data['images']} training images of {data['data']} at {data['image_size']} pixels "
        f"({data['held_out']} held out, {positions} positions of each)"
    )


def match_markdown(data: Mapping[str, Any]) -> str:
    """The page: what was matched, the pairs and why, the stitches, and the table of CKA."""
    left, right = data["networks"]
    columns = [tap["name"] for tap in right["taps"]]
    cka = [
        [tap["name"], *map(share, row)] for tap, row in zip(left["taps"], data["cka"], strict=True)
    ]
    parts = [
        f"# {left['name']} and {right['name']}, matched",
        match_words(data) + ".",
        "![Heat maps of CKA and R²](heatmap.svg)",
        "## Pairs",
        markdown_table(pair_header(data), pair_cells(data)) if data["pairs"] else "None.",
        *(["\n".join(f"* {reason}" for reason in pair_reasons(data))] if data["pairs"] else []),
    ]
    if data["stitches"]:
        told = f"Top-1 in % on {data['stitches'][0]['images']} held-out images, no gradient step."
        table = markdown_table(STITCH_HEADER, stitch_cells(data))
        parts += ["## What each stitch is predicted to cost", told, table]
    parts += ["## CKA", markdown_table([f"{left['name']} \\ {right['name']}", *columns], cka)]
    return "\n\n".join(parts) + "\n"
