"""Of `convgraft explain --frontier`: which values a fit stores, and what that saves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from convgraft.cli.console import millions, print_table
from convgraft.cli.explain_gradients import with_loss

if TYPE_CHECKING:
    from convgraft.cache.frontier import Frontier
    from convgraft.compose import Composite
    from convgraft.training import FreezePolicy

MIB = 2**20
CHANNELS = 3
FLOATS = ("float32", "bfloat16", "float16", "int8")  # uint8 is for pixels


def explain_frontier(
    composite: Composite,
    policy: FreezePolicy,
    loss: str,
    images: int,
    views: int,
    *,
    with_weights: bool,
) -> list[dict[str, Any]]:
    """Per stage of a fit of the composite's plan: what is stored, or why nothing is.

    Args:
        loss: a row of `convgraft.strategies.LOSSES`.
        images, views: how many images there are, and how many versions of each are stored.
        with_weights: as in `explain_gradients`.

    Raises UsageError where plan, policy and loss do not go together.
    """
    from convgraft.cache import default_cache
    from convgraft.cache.frontier import Refusal
    from convgraft.training.freeze import apply_freeze
    from convgraft.training.gradients import ENOUGH
    from convgraft.training.run_once import worthwhile
    from convgraft.training.stages import plan_stages

    network, recipe = with_loss(composite, loss, with_weights=with_weights)
    limit = default_cache(writing=False).limit
    told: list[dict[str, Any]] = []
    for stage in plan_stages(network, policy, recipe.loss, ENOUGH):
        held = apply_freeze(network, stage.freeze)
        found = worthwhile(held, images * views, limit)
        stored = _nothing(found.reason, held) if isinstance(found, Refusal) else _stored(found)
        about = {"policy": policy.name, "phase": stage.name, "loss": str(stage.objective)}
        pixels = CHANNELS * network.plan.image_size**2
        sizes = {"images": images, "views": views, "pixel_bytes": pixels}
        told.append({**about, **sizes, **stored})
    return told


def _nothing(reason: str, held: Composite) -> dict[str, Any]:
    """Where nothing is stored, every step runs everything, from the pixels on."""
    from convgraft.compose import cost

    return {
        "reason": reason,
        "values": [],
        "reads_pixels": True,
        "precisions": [],
        "macs_once": 0,
        "macs_again": cost(held).macs,
        "factor": 1.0,
    }


def _stored(frontier: Frontier) -> dict[str, Any]:
    from convgraft.cache import RowType
    from convgraft.cache.pooled import is_pooled
    from convgraft.cache.values import cut_values

    values = cut_values(frontier)
    once, again = frontier.macs_once, frontier.macs_again
    rows = {dtype: [RowType(value.shape, dtype) for value in values] for dtype in FLOATS}
    return {
        "reason": None,
        "values": [
            {
                "sources": sorted(value.sources),
                "what": value.what,
                "shape": value.shape,
                "bytes": row.row_bytes,
                "pooled": is_pooled(value.node),
            }
            for value, row in zip(values, rows["float32"], strict=True)
        ],
        "reads_pixels": frontier.reads_image,
        "precisions": [
            {
                "stored_as": dtype,
                "bytes": sum(row.row_bytes for row in found),
                "error": found[0].error,
            }
            for dtype, found in rows.items()
        ],
        "macs_once": once,
        "macs_again": again,
        "factor": (once + again) / again if again else None,
    }


def print_frontier(stages: list[dict[str, Any]]) -> None:
    """The tables and sentences of each stage, on standard output."""
    for number, stage in enumerate(stages, 1):
        print(f"\nstage {number} of {len(stages)}: {stage['loss']} ({stage['phase']})\n")
        if stage["reason"]:
            print(f"nothing is stored: {stage['reason']}.")
        else:
            _print_values(stage)
        print("\n".join(_sentences(stage)))


def _print_values(stage: Mapping[str, Any]) -> None:
    print_table(
        "stored once for each image",
        ("network and layer", "source", "shape", "float32 bytes", "pooled"),
        [
            [
                value["what"].removesuffix(", pooled"),
                ", ".join(value["sources"]),
                "x".join(map(str, value["shape"])),
                f"{value['bytes']:,}",
                "yes" if value["pooled"] else "no",
            ]
            for value in stage["values"]
        ],
    )
    count = stage["images"] * stage["views"]
    print_table(
        "",
        ("stored as", "bytes an image", f"MiB for {_images(stage)}", "error"),
        [
            [row["stored_as"], f"{row['bytes']:,}", _mib(row["bytes"] * count), row["error"]]
            for row in stage["precisions"]
        ],
    )


def _sentences(stage: Mapping[str, Any]) -> list[str]:
    """What a step reads and computes."""
    pixels, total = stage["pixel_bytes"], stage["pixel_bytes"] * stage["images"]
    size = f"{pixels:,} bytes of decoded pixels an image ({_mib(total)} MiB for all)"
    if stage["reason"]:
        macs = _macs(stage["macs_again"])
        return [f"A step reads {size}; its forward pass takes {macs} MACs for each."]
    once, again = _macs(stage["macs_once"]), _macs(stage["macs_again"])
    factor = f": {_times(stage['factor'])} times less" if stage["factor"] else ""
    beside = [f"A step reads {size} as well."] if stage["reads_pixels"] else []
    return [
        *beside,
        f"{once} MACs run once for each image instead of in every step.",
        f"{again} MACs are left in the forward pass of a step{factor}.",
    ]


def _images(stage: Mapping[str, Any]) -> str:
    views = f" in {stage['views']} views" if stage["views"] > 1 else ""
    return f"{stage['images']:,} images{views}"


def _macs(count: int) -> str:
    return millions(count) if count >= 1e6 else f"{count:,}"


def _times(factor: float) -> str:
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.1f}"


def _mib(size: float) -> str:
    return f"{size / MIB:,.1f}"
