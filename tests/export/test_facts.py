"""What a file says of itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers_runs import Case, Three, run_of
from safetensors.torch import save_file
from torch import Tensor

from convgraft.compose import compose
from convgraft.errors import ArtifactError
from convgraft.export import load, save, write_card
from convgraft.export.facts import facts_of, read_facts
from convgraft.opening import open_network
from convgraft.sources import source
from convgraft.strategies import Ingredients
from convgraft.studies import Design, build_arm


def test_they_are_read_back(real_images: Tensor) -> None:
    run = replace(run_of(Case("multitask"), real_images), labels=("rød", 'a "b"', "c, d", ""))
    facts = facts_of(run, layout="nchw", precision="int8")
    assert read_facts(facts.texts()) == facts
    assert facts.columns == {"kind": ("kind0", "kind1", "kind2")}
    assert (facts.layout, facts.precision, facts.image_size) == ("nchw", "int8", 16)
    assert facts.plan_hash == run.composite.complete_plan.hash


def test_they_belong_to_the_weights_of_one_run(real_images: Tensor, tmp_path: Path) -> None:
    made = run_of(Case("probe"), real_images)
    again = run_of(Case("probe"), real_images.flip(0))
    modules = {"a": Three(), "b": Three()}
    for name, run in (("one", made), ("other", again)):
        if name == "other":  # the same plan, other weights
            next(run.composite.get_submodule("heads").parameters()).data.add_(1.0)
        save(tmp_path / name, run.composite, labels=run.labels, card="# a card\n")
    facts = facts_of(load(tmp_path / "one", modules=modules), layout="nhwc")
    assert facts.card == "# a card\n"
    assert facts.is_of(tmp_path / "one")
    assert not facts.is_of(tmp_path / "other")
    assert not facts.is_of(tmp_path / "nowhere")


@pytest.mark.parametrize("texts", [{}, {"labels": "[", "columns": "{}"}, {"labels": "3"}])
def test_files_of_others_are_refused(texts: dict[str, str]) -> None:
    with pytest.raises(ArtifactError, match=r"strange\.onnx"):
        read_facts(texts, name="strange.onnx")


def test_a_number_that_is_none_is_refused(real_images: Tensor) -> None:
    texts = facts_of(run_of(Case("probe"), real_images), layout="nhwc").texts()
    with pytest.raises(ArtifactError):
        read_facts({**texts, "image_size": "large"})


def test_they_tell_no_place_of_the_machine(tmp_path: Path) -> None:
    weights, pictures = tmp_path / "nets" / "w.safetensors", str(tmp_path / "our pets")
    weights.parent.mkdir()
    save_file(source("cifar_resnet20").module.state_dict(), weights)
    given = Ingredients({"a": open_network(f"cifar_resnet20@{weights}")}, 16, 3)
    arm = build_arm(Design("probe"), given)
    composite, metrics = compose(arm.plan, arm.sources), {"data": {"location": pictures}}
    card = write_card("one", composite, "xyz", metrics)
    assert str(weights) in card and pictures in card
    run = load(save(tmp_path / "one", composite, labels="xyz", metrics=metrics, card=card))
    told = " ".join(facts_of(run, layout="nhwc").texts().values())
    assert str(tmp_path) not in told
    assert told.count("cifar_resnet20@w.safetensors") == 3 and "location: our pets" in told
