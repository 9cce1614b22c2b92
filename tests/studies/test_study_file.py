"""Study files: what they say, what is told of mistakes, and that they can be written back."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from convgraft.errors import PlanError, UsageError
from convgraft.strategies import StrategyOptions
from convgraft.studies.design import Design
from convgraft.studies.design_text import design_data, design_of, read_design
from convgraft.studies.seeds import read_seeds
from convgraft.studies.study import COMPARED
from convgraft.studies.study_file import StudyFile, read_study, study_from_yaml
from convgraft.studies.study_text import merged, study_to_yaml

DOCS = Path(__file__).parents[2] / "docs" / "studies.md"
WHOLE = """
study: skips
question: do wires help?
data: pictures/
target: [fine, coarse]
models: {one: cifar_resnet20, other: cifar_resnet32}
arms:
  - cross-skip
  - cross-skip:start=one
  - {strategy: stitch, name: cut, loss: final, freeze: adapters-only, at: "layer1:layer2"}
  - {strategy: ladder, head: mlp, hidden: [64, 32], dropout: 0.5}
baselines: [probe, random-front]
image_size: 32
limits: [100, all]
seeds: 3
epochs: {100: 20, all: 6}
freeze: all
training: {lr: 0.01, batch_size: 16, optimizer: sgd, augment: light}
budget_seconds: 60
"""


def test_a_file_says_all_there_is_to_say() -> None:
    file = study_from_yaml(WHOLE)
    assert (file.name, file.question, file.data) == ("skips", "do wires help?", "pictures/")
    assert dict(file.models) == {"one": "cifar_resnet20", "other": "cifar_resnet32"}
    assert [design.name for design in file.arms] == [
        "cross-skip", "cross-skip-one", "cut", "ladder-mlp-64-32-0.5",
    ]  # fmt: skip
    assert file.arms[2].options.at == "layer1:layer2"
    assert file.arms[3].options == StrategyOptions(head="mlp", hidden=(64, 32), dropout=0.5)
    assert (file.baselines, file.target) == (("probe", "random-front"), ("fine", "coarse"))
    assert (file.limits, file.seeds, file.image_size) == ((100, None), (0, 1, 2), 32)
    assert (file.epochs, file.freeze) == ({100: 20, None: 6}, "all")
    options = file.fit_options(100, seed=2)
    assert (options.lr, options.batch_size, options.optimiser) == (0.01, 16, "sgd")
    assert (options.epochs, options.seed, options.augment) == (20, 2, "light")
    assert options.budget_seconds == 60


def test_little_has_to_be_said() -> None:
    file = study_from_yaml("arms: [ladder]\nmodels: [A, B, C]\nepochs: 3\n", name="small.yaml")
    assert (file.name, dict(file.models)) == ("small", {"a": "A", "b": "B", "c": "C"})
    assert (file.baselines, file.limits, file.seeds) == (COMPARED, (None,), (0,))
    assert (file.epochs, file.fit_options().augment) == ({None: 3}, "auto")


def test_what_is_written_back_is_the_same_study() -> None:
    for text in (WHOLE, "arms: [ladder, 'parallel:fusion=sum']\nbaselines: []\nlimits: [7, 9]"):
        file = study_from_yaml(text)
        assert study_from_yaml(study_to_yaml(file)) == file


def test_seeds_are_a_number_of_them_or_a_list() -> None:
    assert read_seeds("3") == (0, 1, 2)
    assert read_seeds("5:8") == (5, 6, 7)
    assert read_seeds("7, 5,7") == (7, 5)
    assert read_seeds("0:2,9") == (0, 1, 9)
    for wrong in ("0", "-1", "x", "", "5:5", "5:", "1,", "1.5"):
        with pytest.raises(ValueError):
            read_seeds(wrong)
    for text, seeds in (
        ("2", (0, 1)),
        ("5:8", (5, 6, 7)),
        ("[4, '6:8']", (4, 6, 7)),
        ("[5]", (5,)),
    ):
        file = study_from_yaml(f"arms: [ladder]\nseeds: {text}")
        assert file.seeds == seeds
        assert study_from_yaml(study_to_yaml(file)) == file
    later = study_from_yaml("arms: [ladder]\nseeds: 5:7")
    assert merged(study_from_yaml("arms: [ladder]\nseeds: 2"), later).seeds == (0, 1, 5, 6)


def test_the_example_of_the_docs_is_a_study() -> None:
    block = re.search(r"((?:    study: .*\n)(?:    .*\n)+)", DOCS.read_text())
    assert block is not None
    file = study_from_yaml(block[1].replace("\n    ", "\n").removeprefix("    "))
    assert file.arms and file.models and file.data


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("arms: [ladder]\nlimit: 3", "2:1", "did you mean limits?"),
        ("models: [A]", "1:1", '"arms" is missing'),
        ("arms: []", "1:7", "one arm or more"),
        ("arms:\n  - cros-skip", "2:5", "did you mean cross-skip?"),
        ("arms:\n  - {strategy: ladder, heads: mlp}", "2:5", "did you mean head?"),
        ("arms:\n  - ladder:fusion=sum", "2:5", 'ladder does not know "fusion"'),
        ("arms:\n  - {start: one}", "2:5", '"strategy" is missing'),
        ("arms:\n  - ladder\n  - ladder", "3:5", 'two arms are called "ladder"'),
        ("arms:\n  - {strategy: ladder, name: a/b}", "2:5", "no name for an arm"),
        ("arms:\n  - {strategy: ladder, hidden: wide}", "2:5", "whole numbers"),
        ("arms:\n  - {strategy: stitch, loss: finale}", "2:5", "did you mean final?"),
        ("arms:\n  - {strategy: stitch, freeze: non}", "2:5", "no freeze policy"),
        ("arms: [ladder]\nbaselines: [equal-costs]", "2:13", "did you mean equal-cost?"),
        ("arms: [ladder]\nseeds: 0", "2:8", "how many seeds"),
        ("arms: [ladder]\nseeds: [x]", "2:9", "a seed"),
        ("arms: [ladder]\nlimits: [few]", "2:10", "training images, or all"),
        ("arms: [ladder]\nlimits: [5]\nepochs: {6: 1}", "3:10", "not among the limits"),
        ("arms: [ladder]\nlimits: [5, all]\nepochs: {5: 1}", "3:9", "no epochs are given"),
        ("arms: [ladder]\ntraining: {lr: -1}", "2:16", "learning rate must be above 0"),
        ("arms: [ladder]\ntraining: {lrr: 1}", "2:12", "did you mean lr?"),
        ("arms: [ladder]\ntraining: {augment: ligth}", "2:21", "did you mean light"),
        ("arms: [ladder]\nbudget_seconds: 0", "2:17", "must be above 0"),
        ("arms: [ladder]\nmodels: [A, null]", "2:13", "ARCH[@WEIGHTS] is expected"),
        ("arms: [", "1:8", "this is not YAML"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, where: str, said: str) -> None:
    with pytest.raises(PlanError) as told:
        study_from_yaml(text, name="x.yaml")
    assert f"x.yaml:{where}: " in str(told.value)
    assert said in str(told.value)


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(PlanError) as told:
        study_from_yaml("arms: [ladr]\nseeds: x\nbaselines: [probes]")
    assert len(told.value.problems) == 3


def test_a_file_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_study(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cross-skip", "cross-skip"),
        ("cross-skip:start=one", "cross-skip-one"),
        ("parallel:fusion=attention,loss=co-learning", "parallel-attention-co-learning"),
        ("ladder:head=mlp,hidden=256,64", "ladder-mlp-256-64"),
        ("stitch:at=layer1:layer2", "stitch-layer1-layer2"),
        ("fixed-filters:learn-filters=true", "fixed-filters-learn-filters"),
        ("ladder:name=mine", "mine"),
    ],
)
def test_designs_are_read_and_written(text: str, name: str) -> None:
    design = read_design(text)
    assert design.name == name
    data = design_data(design)
    said = {"strategy": data} if isinstance(data, str) else dict(data)
    words = {key: ",".join(map(str, v)) if isinstance(v, tuple) else v for key, v in said.items()}
    again = design_of(words.pop("strategy"), {key: str(v) for key, v in words.items()})
    assert replace(again, asked=design.asked) == design


def test_a_design_from_python_is_written_with_what_is_not_its_default() -> None:
    design = Design("cross-skip", StrategyOptions(start="one"), name="raw")
    assert design_data(design) == {"strategy": "cross-skip", "name": "raw", "start": "one"}


@pytest.mark.parametrize("text", ["ladder:", "ladder:mlp", "ladder:head=", "", ":start=one"])
def test_designs_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError):
        read_design(text)


def test_other_limits_take_the_files_epochs_where_it_has_one_number() -> None:
    file = StudyFile("x", "?", "", {}, (), limits=(5,), epochs={5: 4})
    assert file.limited([5, None]).epochs == {5: 4, None: 4}
    several = replace(file, limits=(5, 6), epochs={5: 4, 6: 3})
    assert several.limited([6]).epochs == {6: 3}
    with pytest.raises(UsageError, match="no epochs are given for the limit all"):
        several.limited([5, None])


def test_two_files_are_one_with_the_arms_of_both() -> None:
    there = study_from_yaml("arms: [ladder, cross-skip]\nlimits: [9]\nseeds: 3\nepochs: 2")
    new = study_from_yaml("arms: [parallel, ladder]\nbaselines: [own]\nlimits: [5, all]\nepochs: 4")
    whole = merged(there, new)
    assert [design.name for design in whole.arms] == ["cross-skip", "parallel", "ladder"]
    assert (whole.limits, whole.seeds) == ((5, 9, None), (0, 1, 2))
    assert whole.epochs == {5: 4, 9: 2, None: 4}
    assert whole.baselines == (*COMPARED, "own")
