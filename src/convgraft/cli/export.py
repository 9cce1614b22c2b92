"""`convgraft export RUN --format onnx|pt2`: a run as one file that needs no convgraft."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli.options import AsJson


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    format: Annotated[str, typer.Option(help="onnx or pt2.")] = "onnx",
    layout: Annotated[
        str, typer.Option(help="Of the images it takes: nhwc (Pillow, OpenCV) or nchw (PyTorch).")
    ] = "nhwc",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="RUN/model.onnx or so by default.")
    ] = None,
    optimize: Annotated[
        bool, typer.Option("--optimize", help="Have ONNX Runtime simplify the graph, portably.")
    ] = False,
    quantize: Annotated[
        str | None, typer.Option(help="int8, or uint8 for processors without VNNI; needs --data.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Labelled images to calibrate and to measure with, for --quantize."),
    ] = None,
    calibration: Annotated[
        int | None, typer.Option(min=1, help="Images to calibrate with; 200 by default.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Label column of a Parquet set, the main one first.")
    ] = None,
    label_map: Annotated[
        Path | None, typer.Option(help="File of further label columns made from the classes.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(metavar="IMAGES", help="Compare on these; the run's own by default."),
    ] = None,
    trust_python: Annotated[
        bool, typer.Option(help="Let the run import its python: sources, that is, run code.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Write the whole network, preprocessing inside, as one file for ONNX Runtime or PyTorch.

    In: uint8 images of any size, any number. Out: probabilities and label index. The file is
    compared with the network before it is written.

    Example: convgraft export runs/x --format onnx --quantize int8 --data pictures/
    """
    from convgraft.cli.export_steps import Wish, carry_out, show

    wish = Wish(
        run=run,
        format=format,
        layout=layout,
        out=out,
        optimize=optimize,
        quantize=quantize,
        data=data,
        calibration=calibration,
        target=tuple(target or ()),
        label_map=label_map,
        check=check,
        trust_python=trust_python,
    )
    show(carry_out(wish), as_json=json)
