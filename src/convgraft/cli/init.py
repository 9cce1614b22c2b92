"""`convgraft init DATA`: look at images, and write a commented study for them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli import options as said
from convgraft.cli.console import print_json, progress, say

NETWORKS = """where A and B are networks, ARCH[@WEIGHTS] each, for example
  torchvision/resnet18@DEFAULT   with weights that the library downloads
  timm/resnet18@w.safetensors    with those of a file
  cifar_resnet20                 built in, from scratch"""


def init(
    data: Annotated[str, typer.Argument(metavar="DATA", help=said.DATA_HELP)],
    models: Annotated[list[str] | None, said.MODELS] = None,
    out: Annotated[Path, typer.Option(help="The study file to write.")] = Path("study.yaml"),
    target: said.Target = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a file that lies there.")] = False,
    json: said.AsJson = False,
) -> None:
    """Look at images (sizes, classes, imbalance, duplicates) and write a study that suits them.

    Every setting in the file has a comment that says why; change what you know better.

    Example: convgraft init pictures/ --models torchvision/squeezenet1_1@a.safetensors
    timm/mobilenetv3_small_100@b.safetensors
    """
    from convgraft.cli.init_look import look_at
    from convgraft.cli.init_words import remarks, study_text
    from convgraft.cli.opening import opened
    from convgraft.data import open_images
    from convgraft.errors import UsageError
    from convgraft.export import write_text
    from convgraft.opening import open_network
    from convgraft.studies.study_file import study_from_yaml

    if out.exists() and not overwrite:
        raise UsageError(f'"{out}" is there already', hint="--overwrite, or another --out")
    images = opened(lambda told: open_images(data, target=target or None, on_progress=told))
    sizes = [open_network(spec, seed=0, load=False).image_size for spec in models or []]
    with progress() as report:
        seen = look_at(images, report)
    text = study_text(data, seen, models or [], sizes, target or [])
    study_from_yaml(text, name=out.name)  # what is written here can be read
    write_text(out, text)
    if json:
        print_json({**seen.as_dict(), "study": str(out)})
        return
    for line in remarks(seen):
        say(line)
    folder = Path("studies") / out.stem
    start = f"convgraft compare {shlex.quote(str(out))}"
    if models:
        say(f"written to {out}; next: {start} --out {shlex.quote(str(folder))}")
        return
    say(f"written to {out}; next: {start} --models A B --out {shlex.quote(str(folder))}")
    say(NETWORKS)
