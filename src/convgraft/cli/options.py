"""Options that several commands have, each told once.

What is None was not said; the help names what holds then.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli.completion import AUGMENTATIONS, PRESETS, networks, one_of

IMAGES, TRAINING, MACHINE = "Images", "Training", "Machine"  # panels of --help
DATA_HELP = "Class folders, Parquet, tar shards, a URL of such, hf:FOLDER, or digits."
MODELS = typer.Option(
    metavar="A B ...",
    help="Networks, ARCH\\[@WEIGHTS] each: torchvision/resnet18@DEFAULT, cifar_resnet20, ...",
    autocompletion=networks,
)

ImageSize = Annotated[
    int | None, typer.Option(min=1, help="Side in pixels; the networks' own by default.")
]
Target = Annotated[
    list[str] | None,
    typer.Option(
        help="Label column of a Parquet set; several: multi-task.", rich_help_panel=IMAGES
    ),
]
LabelMap = Annotated[
    Path | None,
    typer.Option(
        help="File of further label columns made from the classes.", rich_help_panel=IMAGES
    ),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(metavar="K ... all", help="Numbers of training images; all by default."),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        metavar="K or SEEDS",
        help="How many, from 0 (1 by default), or which: 5:8 (5, 6, 7) or 5,9.",
    ),
]
Epochs = Annotated[
    list[str] | None,
    typer.Option(metavar="N or K=N ...", help="For all (10), or by limit: 400=20 all=6."),
]
Freeze = Annotated[
    str | None,
    typer.Option(
        help="A preset or policy file for every arm whose networks learn.",
        autocompletion=one_of(PRESETS),
        rich_help_panel=TRAINING,
    ),
]
Only = Annotated[list[str] | None, typer.Option(metavar="ARM ...", help="Some arms.")]
BatchSize = Annotated[
    int | None, typer.Option(help="Images of a step; 32 by default.", rich_help_panel=TRAINING)
]
LearningRate = Annotated[
    float | None, typer.Option(help="Peak learning rate.", rich_help_panel=TRAINING)
]
WeightDecay = Annotated[
    float | None, typer.Option(help="0.01 by default.", rich_help_panel=TRAINING)
]
Optimizer = Annotated[
    str | None, typer.Option(help="adamw (default) or sgd.", rich_help_panel=TRAINING)
]
Schedule = Annotated[
    str | None,
    typer.Option(help="cosine (default), one-cycle or constant.", rich_help_panel=TRAINING),
]
LabelSmoothing = Annotated[
    float | None, typer.Option(help="0 by default.", rich_help_panel=TRAINING)
]
Augment = Annotated[
    str | None,
    typer.Option(
        help="none, light, standard, digits; auto (default): light where networks learn.",
        autocompletion=one_of(AUGMENTATIONS),
        rich_help_panel=TRAINING,
    ),
]
Views = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Augmented versions that frozen parts run over once; 0: none.",
        rich_help_panel=TRAINING,
    ),
]
Patience = Annotated[
    int | None, typer.Option(help="Epochs without progress to stop at.", rich_help_panel=TRAINING)
]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes that augment images.", rich_help_panel=MACHINE)
]
Accelerator = Annotated[
    str | None, typer.Option(help="auto (default), cpu, gpu or mps.", rich_help_panel=MACHINE)
]
Devices = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes on this machine that train together, each on a device.",
        rich_help_panel=MACHINE,
    ),
]
NumNodes = Annotated[
    int | None, typer.Option(min=1, help="Machines that train together.", rich_help_panel=MACHINE)
]
NodeRank = Annotated[
    int | None, typer.Option(min=0, help="Of this machine, from 0.", rich_help_panel=MACHINE)
]
Master = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Of machine 0, where all meet.", rich_help_panel=MACHINE
    ),
]
StrategyDist = Annotated[
    str,
    typer.Option(
        help="auto (ddp), ddp, or fsdp: each rank has a share of all weights.",
        rich_help_panel=MACHINE,
    ),
]
CheckpointMinutes = Annotated[
    float | None,
    typer.Option(
        help="Between checkpoints within an epoch, 5 by default; 0: after epochs only.",
        rich_help_panel=TRAINING,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="Lightning's word, e.g. bf16-mixed; 32-true by default.", rich_help_panel=MACHINE
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the training step: takes minutes, for GPUs.",
        rich_help_panel=MACHINE,
    ),
]
KeepFrozen = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache", help="Keep what frozen parts compute.", rich_help_panel=MACHINE
    ),
]
StoredAs = Annotated[
    str, typer.Option(help="float32, bfloat16, float16 or int8.", rich_help_panel=MACHINE)
]
Strict = Annotated[
    bool,
    typer.Option(
        help="Stop at a broken image, and at a picture in two parts.", rich_help_panel=IMAGES
    ),
]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream", help="Decode images when they are needed; keep none.", rich_help_panel=IMAGES
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Processes that train arms side by side; 1: this one.",
        rich_help_panel=MACHINE,
    ),
]
OnRay = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Train arms on Ray: on this machine, or auto, HOST:PORT or ray://HOST:PORT.",
        rich_help_panel=MACHINE,
    ),
]
CpusPerArm = Annotated[
    float | None,
    typer.Option(help="Processors that Ray gives an arm; 1 by default.", rich_help_panel=MACHINE),
]
GpusPerArm = Annotated[
    float | None,
    typer.Option(
        help="GPUs that an arm gets, or a share of one; by default what there is.",
        rich_help_panel=MACHINE,
    ),
]
