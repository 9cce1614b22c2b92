"""`convgraft predict RUN FILE_OR_FOLDER...`: the most probable classes of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convgraft.cli.console import percent, print_json, print_table, progress, say

if TYPE_CHECKING:
    from convgraft.export import Run


def predict(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="FILE_OR_FOLDER...", help="What to look at.")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 3,
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    strict: Annotated[bool, typer.Option(help="Stop at a broken image.")] = False,
    trust_python: Annotated[
        bool, typer.Option(help="Let the run import its python: sources, that is, run code.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is in images. A broken image is named and left out.

    Example: convgraft predict runs/x holiday/ --top 1 --json
    """
    from convgraft.data import image_files
    from convgraft.errors import RunError
    from convgraft.export import load

    files = image_files(images)
    loaded = load(run, trust_python=trust_python)
    found: list[dict[str, Any]] = []
    with progress() as report:
        for start in range(0, len(files), batch_size):
            batch = files[start : start + batch_size]
            found += _predict_batch(loaded, batch, min(top, len(loaded.labels)), strict)
            report("predict", start + len(batch), len(files))
    broken = [row for row in found if "error" in row]
    for row in broken:
        say(f"left out: {row['file']}: {row['error']}")
    if json:
        print_json(found)
    else:
        _print(found, str(run))
    if len(broken) == len(files):
        raise RunError("none of the images could be read", found=f"{len(broken)} broken")


def _predict_batch(
    run: Run, files: tuple[Path, ...], top: int, strict: bool
) -> list[dict[str, Any]]:
    import torch

    from convgraft.data import BrokenImage, read_resized

    rows: list[dict[str, Any]] = [{"file": str(file)} for file in files]
    pixels, whole = [], []
    for row, file in zip(rows, files, strict=True):
        try:
            pixels.append(read_resized(_bytes(file), run.image_size, id=str(file)))
            whole.append(row)
        except BrokenImage as error:
            if strict:
                raise
            row["error"] = error.reason
    if not whole:
        return rows
    chances, classes = run.probabilities(torch.stack(pixels)).topk(top)
    for row, chance, label in zip(whole, chances.tolist(), classes.tolist(), strict=True):
        row["classes"] = [
            {"label": run.labels[index], "probability": p}
            for index, p in zip(label, chance, strict=True)
        ]
    return rows


def _bytes(file: Path) -> bytes:
    from convgraft.data import BrokenImage

    try:
        return file.read_bytes()
    except OSError as error:
        raise BrokenImage(str(file), f"cannot be read ({error.strerror})") from error


def _print(rows: list[dict[str, Any]], run: str) -> None:
    cells = [
        [
            row["file"],
            ", ".join(f"{c['label']} {percent(c['probability'])} %" for c in row["classes"]),
        ]
        for row in rows
        if "classes" in row
    ]
    print_table(f"{run}: {len(cells)} images", ("file", "most probable classes"), cells)
