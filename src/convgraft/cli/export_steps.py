"""The steps of `convgraft export`: check what is asked for, load, export, tell."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convgraft.cli.console import percent, print_json, say
from convgraft.errors import UsageError, near_miss

if TYPE_CHECKING:
    from convgraft.export import Run
    from convgraft.export.parity import Agreement
    from convgraft.export.pictures import Pictures
    from convgraft.export.quantize import QuantizedCost

FORMATS = ("onnx", "pt2")
WHOLE_NUMBERS = ("int8", "uint8")  # rows of convgraft.export.quantize.WEIGHTS


@dataclass(frozen=True)
class Wish:
    """What the command was asked for; the fields are its options."""

    run: Path
    format: str
    layout: str
    out: Path | None
    optimize: bool
    quantize: str | None
    data: str | None
    calibration: int | None
    target: tuple[str, ...]
    label_map: Path | None
    check: Path | None
    trust_python: bool

    @property
    def path(self) -> Path:
        """Where the file goes."""
        ending = f"-{self.quantize}" if self.quantize else ""
        return self.out or self.run / f"model{ending}.{self.format}"


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        cost: of whole numbers, where they were asked for.
    """

    path: Path
    takes: str
    gives: tuple[str, ...]
    agreement: Agreement
    cost: QuantizedCost | None = None


def carry_out(wish: Wish) -> Outcome:
    """Write the file; raises UsageError for what cannot be meant, before anything is loaded."""
    check_wish(wish)

    from convgraft.export import load
    from convgraft.export.deployed import check_layout, deployed
    from convgraft.export.onnx_graph import need_onnx
    from convgraft.export.pictures import pictures_for

    check_layout(wish.layout)
    if wish.format == "onnx":
        need_onnx()
    run = load(wish.run, trust_python=wish.trust_python)
    pictures = pictures_for(run, wish.check)
    say(f"exporting {wish.run}, and comparing on {len(pictures)} images ({pictures.told})")
    wish.path.parent.mkdir(parents=True, exist_ok=True)
    agreement, cost = _written(wish, run, pictures)
    sides = "N, H, W, 3" if wish.layout == "nhwc" else "N, 3, H, W"
    takes = f"images: uint8 [{sides}], any N, H and W"
    return Outcome(wish.path, takes, deployed(run).outputs, agreement, cost)


def _written(wish: Wish, run: Run, pictures: Pictures) -> tuple[Agreement, QuantizedCost | None]:
    from convgraft.export.held_out import CALIBRATION, held_out
    from convgraft.export.onnx_file import export_onnx
    from convgraft.export.program import export_program
    from convgraft.export.quantize import export_quantized

    if wish.format == "pt2":
        return export_program(run, wish.path, layout=wish.layout, pictures=pictures), None
    if wish.quantize is None:
        agreement = export_onnx(
            run, wish.path, layout=wish.layout, optimize=wish.optimize, pictures=pictures
        )
        return agreement, None
    assert wish.data is not None
    known = held_out(
        run,
        wish.data,
        calibration=wish.calibration or CALIBRATION,
        target=wish.target or None,
        label_map=wish.label_map,
    )
    return export_quantized(
        run,
        wish.path,
        known,
        weights=wish.quantize,
        layout=wish.layout,
        optimize=wish.optimize,
        pictures=pictures,
    )


def check_wish(wish: Wish) -> None:
    """Raise UsageError for options that are unknown or do not go together."""
    _known("format", wish.format, FORMATS)
    if wish.quantize is not None:
        _known("--quantize", wish.quantize, WHOLE_NUMBERS)
    if wish.format != "onnx" and (wish.quantize or wish.optimize):
        option = "--quantize" if wish.quantize else "--optimize"
        raise UsageError(f"{option} is for ONNX files", hint="--format onnx, or without it")
    if wish.quantize and wish.data is None:
        raise UsageError(
            f"--quantize {wish.quantize} needs images to calibrate and to measure with",
            hint="--data with the images that the run was trained on",
        )
    of_data = [
        ("--data", wish.data),
        ("--calibration", wish.calibration),
        ("--target", wish.target),
        ("--label-map", wish.label_map),
    ]
    for option, value in of_data:
        if value and not wish.quantize:
            raise UsageError(f"{option} is for --quantize", hint="--check compares on images")
    _check_path(wish)


def _known(what: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise UsageError(
            f'{what} cannot be "{given}"',
            expected=" or ".join(known),
            hint=near_miss(given, known),
        )


def _check_path(wish: Wish) -> None:
    if wish.out is None:
        return
    if wish.out.is_dir():
        raise UsageError(f'"{wish.out}" is a folder', expected=f"a file.{wish.format}")
    if wish.out.suffix != f".{wish.format}":
        raise UsageError(
            f'"{wish.out}" is no name for this format',
            expected=f"a name that ends in .{wish.format}",
        )


def show(outcome: Outcome, *, as_json: bool) -> None:
    """Tell what was written, how far it agrees, and what whole numbers cost."""
    if as_json:
        cost = None if outcome.cost is None else asdict(outcome.cost)
        gives = list(outcome.gives)
        print_json(
            {
                "file": str(outcome.path),
                "bytes": outcome.path.stat().st_size,
                "takes": outcome.takes,
                "gives": gives,
                "agreement": asdict(outcome.agreement),
                "quantized": cost,
            }
        )
        return
    print(f"{outcome.path}  {outcome.path.stat().st_size / 1e6:.2f} MB")
    print(f"  takes  {outcome.takes}")
    print(f"  gives  {', '.join(outcome.gives)}")
    print(f"  {'before that, ' if outcome.cost else ''}{outcome.agreement}")
    if outcome.cost is not None:
        _show_cost(outcome.cost)
    file = shlex.quote(str(outcome.path))
    if outcome.path.suffix == ".onnx":
        say(f"next: convgraft predict {file} IMAGE, or convgraft serve {file}")
    else:
        say(f'next, in Python: torch.export.load("{outcome.path}").module()')


def _show_cost(cost: QuantizedCost) -> None:
    print(
        f"  in whole numbers: top-1 {percent(cost.top1_quantized)} %, before "
        f"{percent(cost.top1)} % ({cost.points:.2f} points lost) on {cost.images} images of "
        f"{cost.measured_on}"
    )
    print(
        f"  {percent(cost.same_class)} % answered alike; calibrated on "
        f"{cost.calibration_images} training images; {cost.megabytes:.2f} MB became "
        f"{cost.megabytes_quantized:.2f} MB"
    )
