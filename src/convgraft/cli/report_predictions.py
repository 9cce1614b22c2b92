"""Of `convgraft report`: what an arm made of each test image, where the folder keeps it.

predictions/CELL/ARM.safetensors    of a study
predictions/ARM.safetensors         of a run
"""

from __future__ import annotations

from pathlib import Path

from convgraft.cli.console import say
from convgraft.cli.report_pictures import Pictures
from convgraft.errors import ArtifactError
from convgraft.report.examined import examine
from convgraft.report.page_data import Examined
from convgraft.studies import Predictions

FOLDER = "predictions"


def examined_run(folder: Path, arm: str, images: Pictures) -> Examined | None:
    """What a run's arm got wrong, and how sure it was; None where its predictions were not kept."""
    return _examined([folder / FOLDER / f"{arm}.safetensors"], arm, images)


def examined_study(folder: Path, arm: str, cells: list[str], images: Pictures) -> Examined | None:
    """The same of a study's arm, over all of the cells that are named."""
    return _examined([folder / FOLDER / cell / f"{arm}.safetensors" for cell in cells], arm, images)


def _examined(paths: list[Path], arm: str, images: Pictures) -> Examined | None:
    read = [_readable(path) for path in paths if path.is_file()]
    found = [one for one in read if one is not None and len(one.labels)]
    if not found:
        return None
    count = sum(len(one.labels) for one in found)
    seeds = f" under {len(found)} seeds" if len(found) > 1 else ""
    return images.shown(examine(found, f"{arm}: {count:,} answers on test images{seeds}."))


def _readable(path: Path) -> Predictions | None:
    """Predictions; None where they cannot be read, which is told."""
    try:
        return Predictions.load(path)
    except ArtifactError as error:
        say(f"left out: {error.what}")
        return None
