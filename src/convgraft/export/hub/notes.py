"""The notes of a run (`metrics.json`) without what they tell of one machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convgraft.export.hub.places import Places, name_of


def portable_metrics(
    metrics: Mapping[str, Any], places: Places, *, with_split: bool
) -> dict[str, Any]:
    """What was measured, without places; files of the images are named only with the split."""
    kept = dict(metrics)
    data = kept.get("data")
    if isinstance(data, Mapping):
        kept["data"] = dict(data)
        if isinstance(data.get("location"), str):
            kept["data"]["location"] = name_of(data["location"])
        if data.get("broken_images") and not with_split:
            kept["data"]["broken_images_left_out"] = len(kept["data"].pop("broken_images"))
    return places.in_data(kept)


def differing(where: str, old: Any, new: Any) -> list[str]:
    """A line for every value of `old` that stands in other words in `new`, or not at all."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = [(f"{where}.{key}", value, new.get(key)) for key, value in old.items()]
        return [line for item in found for line in differing(*item)]
    if isinstance(old, list) and isinstance(new, list):
        return [line for pair in zip(old, new, strict=True) for line in differing(where, *pair)]
    if old == new or isinstance(old, float):
        return []
    return [f"{where}: left out" if new is None else f"{where}: {old} -> {new}"]
