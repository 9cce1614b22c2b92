"""`convgraft taps SOURCE`: the points of a network that wires and heads can use."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from convgraft.cli.completion import networks
from convgraft.cli.console import print_json, print_table


def taps(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="ARCH\\[@WEIGHTS], or a run's folder.",
            autocompletion=networks,
        ),
    ],
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side in pixels; the network's own by default.")
    ] = None,
    select: Annotated[
        str | None, typer.Option(help="e.g. 'layer*', 'depth:0.3..0.6', 'kind:block'.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List a network's taps: names, shapes, strides, depths, kinds.

    Example: convgraft taps torchvision/squeezenet1_1 --image-size 100 --select kind:block
    """
    from convgraft.errors import UsageError
    from convgraft.opening import open_network
    from convgraft.sources import parse_selection, tap_places

    selection = parse_selection(select) if select else None
    opened = open_network(source, load=False)
    survey = opened.survey(image_size)
    places = tap_places(survey.taps)
    chosen = [t for t in survey.taps if selection is None or selection.matches(places[t.name])]
    if not chosen:
        raise UsageError(f'"{select}" selects none of the {len(survey.taps)} taps of {source}')
    if json:
        print_json(
            {
                "source": source,
                "image_size": survey.image_size,
                "macs": survey.macs,
                "parameters": survey.parameters,
                "taps": [_as_dict(tap) for tap in chosen],
            }
        )
        return
    title = (
        f"{source} at {survey.image_size}x{survey.image_size}: "
        f"{survey.parameters:,} weights, {survey.macs:,} MACs"
    )
    header = ("tap", "shape", "stride", "depth", "kind", "also called")
    print_table(title, header, [_cells(tap) for tap in chosen])


def _as_dict(tap: Any) -> dict[str, Any]:
    keys = ("name", "aliases", "shape", "stride", "depth", "kind", "macs")
    return {key: getattr(tap, key) for key in keys}


def _cells(tap: Any) -> list[str]:
    shape = "x".join(map(str, tap.shape))
    return [
        tap.name,
        shape,
        f"{tap.stride:.3g}",
        f"{tap.depth:.3f}",
        tap.kind,
        ", ".join(tap.aliases),
    ]
