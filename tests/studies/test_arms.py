"""Baselines are what they say: trained alone, averaged without training, tested once."""

from __future__ import annotations

import torch

from convgraft.compose import compose
from convgraft.data import open_images, split_images
from convgraft.sources import source
from convgraft.strategies import Ingredients
from convgraft.studies import average_of, baseline_arms, measure_row
from convgraft.training import Task, answers


def ingredients() -> Ingredients:
    sources = {"a": source("cifar_resnet20"), "b": source("cifar_resnet32", seed=1)}
    return Ingredients(sources, 8, 10)


def test_every_source_has_its_probe_and_its_fine_tune() -> None:
    arms = baseline_arms(ingredients())
    assert [arm.name for arm in arms] == ["probe-a", "probe-b", "finetune-a", "finetune-b"]
    assert [arm.policy.name for arm in arms] == ["heads-only"] * 2 + ["discriminative"] * 2
    assert all(len(arm.plan.sources) == 1 for arm in arms)


def test_the_average_vote_is_the_mean_of_its_members_probabilities() -> None:
    given = ingredients()
    arms = {arm.name: arm for arm in baseline_arms(given)}
    members = {
        name: compose(arms[f"probe-{name}"].plan, arms[f"probe-{name}"].sources, seed=i).eval()
        for i, name in enumerate("ab")
    }
    vote = average_of(given, "probe", members)
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    alone = [answers(member, images)["label"].softmax(1) for member in members.values()]
    assert torch.allclose(answers(vote, images)["label"].softmax(1), sum(alone) / 2, atol=1e-6)


def test_measuring_an_arm_reads_the_test_part_once_in_its_name() -> None:
    images = open_images("digits")
    task = Task(images, split_images(images, seed=0), 8)
    given = ingredients()
    arm = baseline_arms(given)[0]
    row = measure_row(arm.name, compose(arm.plan, arm.sources), task, seconds=1.0)
    assert task.test_reads == ["probe-a"]
    assert row.test.images == len(task.split.test)
    assert 0 < row.macs < given.surveys["a"].macs + 10_000
