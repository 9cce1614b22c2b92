"""The files that `convgraft match` writes: a plan, and a folder with heat maps and tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convgraft.cli.match_steps import Found
from convgraft.compose import check
from convgraft.errors import UsageError, near_miss
from convgraft.export.files import write_json, write_text, write_whole
from convgraft.plan import Plan, TapRef, plan_to_yaml
from convgraft.report.match_figure import draw_matching
from convgraft.report.match_text import match_markdown
from convgraft.strategies.matched import matched_cross_skip, matched_stitch

PLAN_KINDS = ("cross-skip", "stitch")
PICTURES = ("heatmap.png", "heatmap.svg")


def check_places(
    plan: Path | None, kind: str, out: Path | None, *, stitches: int, overwrite: bool
) -> None:
    """Raise UsageError before any work for places that cannot be written to.

    Args:
        stitches: how many are asked for; a plan of a stitch needs one.
    """
    if kind not in PLAN_KINDS:
        raise UsageError(
            f'there is no kind of plan called "{kind}"',
            expected=" or ".join(PLAN_KINDS),
            hint=near_miss(kind, PLAN_KINDS),
        )
    if plan and kind == "stitch" and not stitches:
        raise UsageError(
            "a plan of the best stitch needs stitches that are run",
            expected="--stitches 1 or more",
            found="--stitches 0",
        )
    if plan and plan.is_dir():
        raise UsageError(f'"{plan}" is a folder', expected="a file, e.g. --plan joined.yaml")
    if plan and plan.exists() and not overwrite:
        raise UsageError(f'"{plan}" is there already', hint="another --plan, or --overwrite")
    if out and out.exists() and not out.is_dir():
        raise UsageError(f'"{out}" is a file', expected="a folder, e.g. --out runs/match")


def write_report(data: Mapping[str, Any], folder: Path) -> list[Path]:
    """heatmap.png, heatmap.svg, match.json and match.md; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    title = " and ".join(f"{one['name']} = {one['network']}" for one in data["networks"])
    for name in PICTURES:
        write_whole(folder / name, lambda part, n=name: _draw(data, part, title, Path(n).suffix))
    write_json(folder / "match.json", data)
    write_text(folder / "match.md", match_markdown(data))
    return [folder / name for name in (*PICTURES, "match.json", "match.md")]


def _draw(data: Mapping[str, Any], path: Path, title: str, suffix: str) -> None:
    """Draw to a file whose name does not tell its form."""
    named = path.with_name(path.name + suffix)
    draw_matching(data, [named], title=title)
    named.replace(path)


def write_plan(found: Found, path: Path, kind: str) -> Path:
    """The plan over the chosen pairs, or of the best stitch; raises UsageError if there is none."""
    plan = _stitch(found) if kind == "stitch" else _cross_skip(found)
    check(plan, found.inputs.given.sources, name=path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, plan_to_yaml(plan))
    return path


def _cross_skip(found: Found) -> Plan:
    if not found.pairs:
        raise UsageError(
            "no pair of taps is worth its cost, so there is no plan to write",
            hint="other --taps, or --plan-kind stitch",
        )
    return matched_cross_skip(found.inputs.given, [(p.left, p.right) for p in found.pairs])


def _stitch(found: Found) -> Plan:
    if not found.stitches:
        raise UsageError(
            "no stitch was predicted, so there is no plan to write", hint="--stitches 5"
        )
    best = found.stitches[0]
    here, there = TapRef(best.front, best.here.name), TapRef(best.back, best.there.name)
    return matched_stitch(found.inputs.given, here, there, own=best.classifier == "own")
