"""Options that several commands have, each told once.

What is None was not said; the help names what holds then.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DATA_HELP = "Class folders, Parquet, or digits."
MODELS = typer.Option(metavar="SOURCE SOURCE ...", help="ARCH\\[@WEIGHTS] each.")

ImageSize = Annotated[
    int | None, typer.Option(min=1, help="Side in pixels; the networks' own by default.")
]
Target = Annotated[
    list[str] | None, typer.Option(help="Label column of a Parquet set; several: multi-task.")
]
LabelMap = Annotated[
    Path | None, typer.Option(help="File of further label columns made from the classes.")
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
    str | None, typer.Option(help="A preset or policy file for every arm whose networks learn.")
]
Only = Annotated[list[str] | None, typer.Option(metavar="ARM ...", help="Some arms.")]
BatchSize = Annotated[int | None, typer.Option(help="Images of a step; 32 by default.")]
LearningRate = Annotated[float | None, typer.Option(help="Peak learning rate.")]
WeightDecay = Annotated[float | None, typer.Option(help="0.01 by default.")]
Optimizer = Annotated[str | None, typer.Option(help="adamw (default) or sgd.")]
Schedule = Annotated[str | None, typer.Option(help="cosine (default), one-cycle or constant.")]
LabelSmoothing = Annotated[float | None, typer.Option(help="0 by default.")]
Augment = Annotated[
    str | None,
    typer.Option(help="none, light, standard, digits; auto (default): light where networks learn."),
]
Views = Annotated[
    int | None,
    typer.Option(min=0, help="Augmented versions that frozen parts run over once; 0: none."),
]
Patience = Annotated[int | None, typer.Option(help="Epochs without progress to stop at.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Processes that augment images.")]
Accelerator = Annotated[str | None, typer.Option(help="auto (default), cpu, gpu or mps.")]
Precision = Annotated[
    str | None, typer.Option(help="Lightning's word, e.g. bf16-mixed; 32-true by default.")
]
KeepFrozen = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Keep what frozen parts compute.")
]
StoredAs = Annotated[str, typer.Option(help="float32, bfloat16, float16 or int8.")]
Strict = Annotated[
    bool, typer.Option(help="Stop at a broken image, and at a picture in two parts.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
