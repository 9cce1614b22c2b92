"""What `convgraft match` found, as plain data: for JSON, figures and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from convgraft.cli.match_steps import Found
from convgraft.match.likeness import Pairing
from convgraft.match.matching import HELD_OUT
from convgraft.sources import Tap
from convgraft.studies.stitch_prediction import StitchPrediction

TABLES = ("cka", "forward", "backward", "forward_error", "backward_error")


def match_data(found: Found) -> dict[str, Any]:
    """Networks with their taps, a table [left taps][right taps] each, pairs and stitches.

    What is no number (of constant taps) is None.
    """
    inputs, matching = found.inputs, found.matching
    sides = zip(inputs.given.sources.items(), (matching.left, matching.right), strict=True)
    return {
        "data": inputs.images.location,
        "fingerprint": inputs.images.fingerprint,
        "image_size": inputs.given.image_size,
        "images": matching.images,
        "held_out": matching.images // HELD_OUT,
        "left_out": [image.id for image in found.broken],
        "positions": matching.positions,
        "seed": inputs.asked.seed,
        "networks": [
            {"name": name, "network": one.spec, "taps": [_tap(tap) for tap in taps]}
            for (name, one), taps in sides
        ],
        **{key: _table(getattr(matching, key)) for key in TABLES},
        "pairs": [_pair(pair) for pair in found.pairs],
        "stitches_asked": inputs.asked.stitches,
        "stitches": [_stitch(stitch) for stitch in found.stitches],
    }


def _table(values: Tensor) -> list[list[float | None]]:
    return [[_number(value) for value in row] for row in values.tolist()]


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _tap(tap: Tap) -> Mapping[str, Any]:
    return {
        "name": tap.name,
        "shape": list(tap.shape),
        "depth": round(tap.depth, 4),
        "kind": tap.kind,
    }


def _pair(pair: Pairing) -> Mapping[str, Any]:
    return {
        "left": pair.left.name,
        "right": pair.right.name,
        **{
            key: _number(getattr(pair, key))
            for key in ("cka", "forward", "backward", "cost", "score")
        },
        "why": pair.why,
    }


def _stitch(stitch: StitchPrediction) -> Mapping[str, Any]:
    return {
        "from": f"{stitch.front}:{stitch.here.name}",
        "to": f"{stitch.back}:{stitch.there.name}",
        "r2": _number(stitch.r2),
        "classifier": stitch.classifier,
        "alone": stitch.alone,
        "stitched": stitch.stitched,
        "points": _number(stitch.points),
        "images": stitch.images,
        "macs": stitch.macs,
    }
