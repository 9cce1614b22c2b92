"""A run as one graph of PyTorch's own: captured by `torch.export`, and written as a `.pt2` file."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from convgraft.errors import ArtifactError, RunError
from convgraft.export.artifact import Run
from convgraft.export.culprit import find_culprit
from convgraft.export.deployed import LAYOUTS, Deployed, deployed
from convgraft.export.facts import Facts, facts_of, read_facts
from convgraft.export.files import write_whole
from convgraft.export.parity import Agreement, check_agreement
from convgraft.export.pictures import Pictures
from convgraft.export.program_archive import vetted
from convgraft.export.simplified import simplified

if TYPE_CHECKING:
    from torch.export import ExportedProgram

FACTS_FILE = "convgraft.json"
DIMENSIONS = ("batch", "height", "width")
SAMPLE = (3, 5, 7)  # images, and pixels more than the network's size: none is taken for fixed


def export_program(
    run: Run, path: Path, *, layout: str = "nhwc", pictures: Pictures | None = None
) -> Agreement:
    """Write a run as a `.pt2` file, which `torch.export.load` opens without convgraft.

    Its module takes uint8 [N, H, W, 3] (or [N, 3, H, W]) and gives what `Deployed` gives.

    Args:
        layout: of the images, `nhwc` or `nchw`.
        pictures: what it is compared with the composite on; random pictures by default.

    Raises:
        RunError: the network cannot be captured, or the file does not agree with it; nothing is
            written then.
    """
    whole = deployed(run, layout=layout, network=simplified(run.composite))
    facts = facts_of(run, layout=layout)
    content = _saved(captured(whole), facts)
    answers = program_answers(_loaded(io.BytesIO(content))[0].module())
    agreement = check_agreement(run, answers, layout=layout, pictures=pictures)
    write_whole(path, lambda part: part.write_bytes(content))
    return agreement


def open_program(path: str | Path) -> tuple[nn.Module, Facts]:
    """A `.pt2` file's module, uint8 images to probabilities and index, and what it says of itself.

    Raises ArtifactError where `convgraft export` did not write it. What is pickled or compiled in
    it is refused; PyTorch's loader is no wall all the same: open what you made, or trust.
    """
    content = vetted(path)
    try:
        program, facts = _loaded(content, str(path))
        return program.module(), facts
    except ArtifactError:
        raise
    # the loader takes what it reads for well-formed: its errors share no class but this one
    except Exception as error:
        raise ArtifactError(
            f'"{path}" cannot be read',
            found=_reason(error),
            hint="convgraft export RUN --format pt2",
        ) from error


def captured(whole: Deployed) -> ExportedProgram:
    """A deployed network as one graph of ATen calls; any number of images of any size go in.

    Raises RunError that names the part that cannot be captured.
    """
    batch, *more = SAMPLE
    dims = dimensions(whole.layout)
    shape = [3] * 4
    for place, length in zip(dims, [batch, *(whole.size + one for one in more)], strict=True):
        shape[place] = length
    try:
        return capture(whole, (torch.zeros(shape, dtype=torch.uint8),), dims)
    except Exception as error:  # whatever a network's code may raise
        raise not_exported(whole, error, _capture_alone) from error


def dimensions(layout: str) -> dict[int, str]:
    """Names of the dimensions of images that may change, by place: batch, height, width."""
    order = LAYOUTS[layout]
    return dict(zip((order[0], order[2], order[3]), DIMENSIONS, strict=True))


def capture(
    module: nn.Module, inputs: tuple[Tensor, ...], dims: dict[int, str] | None = None
) -> ExportedProgram:
    """A module as one graph; `dims` names the dimensions of its one input that may change."""
    changing = {place: torch.export.Dim(name, min=1) for place, name in (dims or {}).items()}
    with torch.no_grad():
        return torch.export.export(module, inputs, dynamic_shapes=(changing,) if dims else None)


def not_exported(
    whole: Deployed, error: Exception, attempt: Callable[[nn.Module, tuple[Tensor, ...]], object]
) -> RunError:
    """What to tell of a network that cannot be exported: the part, and PyTorch's reason.

    Args:
        attempt: exports one module alone, and raises where that cannot be done.
    """
    culprit = find_culprit(whole.network, whole.size, attempt)
    return RunError(
        f"{culprit or 'the network'} cannot be exported",
        found=_reason(error),
        hint="a source without it; predict and serve run it as it is",
    )


def _reason(error: BaseException) -> str:
    """The first line of what was wrong at the bottom of it, without colours."""
    while error.__cause__ is not None:
        error = error.__cause__
    plain = re.sub(r"\x1b\[\d*m", "", str(error)).strip()
    return (plain or type(error).__name__).splitlines()[0]


def program_answers(
    module: nn.Module,
) -> Callable[[NDArray[np.uint8]], Sequence[NDArray[Any]]]:
    """The module of a program as a function of arrays, as `check_agreement` wants it."""

    def answers(images: NDArray[np.uint8]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            return [value.numpy() for value in module(torch.from_numpy(images))]

    return answers


def _capture_alone(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    capture(module, inputs)


def _saved(program: ExportedProgram, facts: Facts) -> bytes:
    """The content of the file, without stack traces: they hold paths of this machine."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    program.example_inputs = None  # they would be pickled
    buffer = io.BytesIO()
    extra = {FACTS_FILE: json.dumps(facts.texts(), ensure_ascii=False)}
    torch.export.save(program, buffer, extra_files=extra)
    return buffer.getvalue()


def _loaded(content: io.BytesIO, name: str = "the file") -> tuple[ExportedProgram, Facts]:
    extra = {FACTS_FILE: ""}
    program = torch.export.load(content, extra_files=extra)
    texts = json.loads(extra[FACTS_FILE] or "{}")
    return program, read_facts(texts, name=f'"{name}"')
