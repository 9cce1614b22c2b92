"""`convgraft match A B --data DATA`: which layers of two networks fit, and what to join where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli import options as said
from convgraft.cli.completion import networks as known
from convgraft.cli.console import print_json, progress, say


def match(
    networks: Annotated[
        list[str],
        typer.Argument(
            metavar="A B", help="ARCH\\[@WEIGHTS] each, or a run's folder.", autocompletion=known
        ),
    ],
    data: Annotated[str, typer.Option(metavar="DATA", help=said.DATA_HELP)],
    limit: Annotated[int, typer.Option(min=1, help="At most K training images.")] = 2000,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side in pixels; the networks' own by default.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Label column of a Parquet set.")] = None,
    taps: Annotated[
        str, typer.Option(metavar="SELECTION", help="Taps to match; all blocks by default.")
    ] = "",
    stitches: Annotated[
        int, typer.Option(min=0, help="Show the N best stitches; four times as many are run.")
    ] = 5,
    positions: Annotated[
        str, typer.Option(metavar="P", help="Positions of each map to look at, or all.")
    ] = "4",
    many_to_one: Annotated[
        bool, typer.Option("--many-to-one", help="Let several taps share a tap.")
    ] = False,
    cost: Annotated[
        float, typer.Option(min=0, help="CKA given up for a pair that doubles the MACs.")
    ] = 2.0,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a plan for fit --plan.")
    ] = None,
    plan_kind: Annotated[
        str, typer.Option(help="cross-skip over the pairs, or stitch: the best one.")
    ] = "cross-skip",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write heat maps, JSON and Markdown.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace a plan that lies there.")] = False,
    devices: said.Devices = None,
    num_nodes: said.NumNodes = None,
    node_rank: said.NodeRank = None,
    master: said.Master = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare every layer of one network with every layer of another one, in one pass.

    Says which fit, what a stitch there is predicted to cost in accuracy, and writes the plan.

    Example: convgraft match cifar_resnet20@a.safetensors cifar_resnet32@b.safetensors
    --data pictures/ --image-size 32 --out runs/match --plan joined.yaml
    """
    from convgraft.cli import launch
    from convgraft.cli.ranks import Launch

    launch.begin(Launch(devices or 1, num_nodes or 1, node_rank, master))

    from convgraft.cli import match_files, match_steps
    from convgraft.cli.match_data import match_data
    from convgraft.cli.match_view import print_matching

    asked = match_steps.Asked(
        tuple(networks), data, limit, image_size, target, taps, stitches,
        match_steps.read_positions(positions), many_to_one, cost, seed,
    )  # fmt: skip
    match_files.check_places(plan, plan_kind, out, stitches=stitches, overwrite=overwrite)
    inputs = match_steps.open_inputs(asked)
    with progress() as report:
        found = match_steps.find(inputs, report)
    if found is None:
        return  # another rank tells
    told = match_data(found)
    files = match_files.write_report(told, out) if out else []
    if plan:
        files.append(match_files.write_plan(found, plan, plan_kind))
        if plan_kind == "stitch" and found.is_chosen_by_few:
            say(f"the best of {len(found.stitches)} stitches, chosen on {found.judged} images:")
            say("expect its points to be lower on others, or match on more (--limit)")
    for image in found.broken:
        say(f"left out: {image}")
    if json:
        print_json({**told, "files": [str(file) for file in files]})
        return
    print_matching(told)
    for file in files:
        say(f"written: {file}")
    if plan:
        say(f"next: convgraft explain {plan}, or convgraft fit {data} --plan {plan} --out DIR")
