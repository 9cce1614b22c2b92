"""Every way of combining, as an ONNX file and as a program, answers as its composite does.

The quick part exports two of them; the whole matrix is marked slow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_runs import Case, pictures, run_of
from torch import Tensor

from convgraft.export import Run
from convgraft.export.deployed import answer_about
from convgraft.export.facts import read_facts
from convgraft.export.onnx_file import export_onnx
from convgraft.export.parity import in_layout
from convgraft.export.program import export_program, open_program
from convgraft.layers.fusions import FUSIONS
from convgraft.layers.votes import VOTE_KINDS
from convgraft.strategies import LOSSES, STRATEGIES

ONE = {"start": "one"}
QUICK = [
    Case("ensemble", {"vote": "plurality"}),
    Case("multitask", {"fusion": "attention"}),
]
CASES = [
    *QUICK,
    Case("cross-skip", ONE),
    Case("cross-skip", {"start": "zero"}),
    Case("cross-skip", {**ONE, "adapter": "block"}, networks="unlike"),
    Case("stitch", {"classifier": "own"}),
    Case("stitch", {"at": "layer1:layer2", "adapter": "cnn"}),
    *(Case("parallel", {"fusion": fusion}) for fusion in FUSIONS),
    Case("cascade"),
    Case("cascade", {"via": "probabilities", "into": "layer1", "join": "add", **ONE}),
    Case("cascade", {"via": "features", "into": "layer2", "join": "gate", **ONE}),
    Case("cascade", {"into": "layer3", "join": "concat", **ONE}),
    *(Case("ensemble", {"vote": vote}) for vote in VOTE_KINDS if vote != "plurality"),
    Case("ladder"),
    Case("ladder", {"head": "side", "taps": "*:layer*"}),
    Case("fixed-filters", {"filters": "gaussian+sobel"}),
    Case("distil", loss="distil"),
    Case("probe"),
    Case("finetune", {"hidden": (8,), "dropout": 0.3}),
    Case("parallel", loss="co-learning"),
]


def test_the_matrix_has_every_strategy_vote_and_fusion() -> None:
    assert {case.strategy for case in CASES} == set(STRATEGIES)
    chosen = {value for case in CASES for value in case.options.values() if isinstance(value, str)}
    assert chosen >= {*VOTE_KINDS, *FUSIONS}
    assert {case.loss for case in CASES} == {"task", "distil", "co-learning"} <= set(LOSSES)


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_an_onnx_file_agrees(case: Case, real_images: Tensor, tmp_path: Path) -> None:
    _agrees(case, real_images, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES[len(QUICK) :], ids=str)
def test_every_strategy_agrees_as_an_onnx_file(
    case: Case, real_images: Tensor, tmp_path: Path
) -> None:
    _agrees(case, real_images, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_strategy_agrees_as_a_program(
    case: Case, real_images: Tensor, tmp_path: Path
) -> None:
    run = run_of(case, real_images)
    export_program(run, tmp_path / "model.pt2", pictures=pictures(real_images))
    module, facts = open_program(tmp_path / "model.pt2")
    assert facts.labels == run.labels
    given = torch.from_numpy(in_layout(real_images[:7], "nhwc"))
    _same(run, real_images[:7], [value.numpy() for value in module(given)])


def _agrees(case: Case, images: Tensor, folder: Path) -> None:
    """Export, run the file by ONNX Runtime alone, and compare with the eager composite."""
    import onnxruntime

    run = run_of(case, images)
    layout = ("nhwc", "nchw")[CASES.index(case) % 2]
    found = export_onnx(run, folder / "model.onnx", layout=layout, pictures=pictures(images))
    assert found.images == 100 and found.probabilities < 1e-4
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    facts = read_facts(session.get_modelmeta().custom_metadata_map)
    assert (facts.labels, facts.answer, facts.layout) == (run.labels, run.plan.answer, layout)
    answers = session.run(None, {"images": in_layout(images, layout)})
    _same(run, images, answers)


def _same(run: Run, images: Tensor, answers: list[np.ndarray]) -> None:
    with torch.no_grad():
        expected = run.composite(images)
    columns = [run.plan.answer, *(answer_about(run, name) for name in run.columns)]
    assert len(answers) == 2 * len(columns)
    for number, answer in enumerate(columns):
        chances = expected[answer].softmax(1).numpy()
        assert np.abs(answers[2 * number] - chances).max() < 1e-4
        sure = np.sort(chances, 1)[:, -1] - np.sort(chances, 1)[:, -2] > 1e-4
        assert (answers[2 * number + 1] == chances.argmax(1))[sure].all()
        assert sure.mean() > 0.9
        assert chances.std(0).max() > 0.02  # answers differ by image
