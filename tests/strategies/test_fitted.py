"""What is left of a plan when its training is over: of stitches, and of networks that co-learn."""

from __future__ import annotations

import pytest
import torch

from convgraft.compose import Composite, compose, cost
from convgraft.data import open_images, split_images
from convgraft.errors import UsageError
from convgraft.sources import source
from convgraft.strategies import Ingredients, StrategyOptions
from convgraft.studies import Arm, Design, build_arm, random_front
from convgraft.training import FitOptions, FitResult, Task, fit, start_adapters
from convgraft.training.module import FitModule
from helpers import same, small

SOURCES = {"a": small(), "b": small(1)}


@pytest.fixture(scope="module")
def task() -> Task:
    images = open_images("digits")
    return Task(images, split_images(images, seed=0, limit=60), 8)


def trained(arm: Arm, task: Task, epochs: int = 2) -> FitResult:
    composite = compose(arm.plan, arm.sources)
    start_adapters(composite, task.pixels("train").images)
    return fit(composite, task, arm.policy, FitOptions(epochs, 30), loss=arm.loss)


def sections(composite: Composite) -> set[str]:
    return {".".join(name.split(".")[:3]) for name in composite.state_dict()}


@pytest.mark.parametrize("loss", ["task", "mse", "final", "two-stage"])
@pytest.mark.parametrize("classifier", ["own", "new"])
@pytest.mark.parametrize("adapter", ["conv1x1", "residual"])
def test_a_stitch_is_front_adapter_and_back_alone(
    loss: str, classifier: str, adapter: str, task: Task
) -> None:
    options = StrategyOptions(at="layer1:layer2", adapter=adapter, classifier=classifier)
    arm = build_arm(Design("stitch", options, loss=loss), Ingredients(SOURCES, 8, 10))
    teachers = [ref.name for ref in arm.plan.sources if ref.name not in SOURCES]
    assert teachers == ([] if loss == "task" else ["b_teacher"])
    kept = trained(arm, task).composite

    assert [ref.name for ref in kept.plan.sources] == ["a", "b"]
    assert kept.plan.outputs == ("label",)
    assert list(kept(torch.rand(2, 3, 8, 8))) == ["label"]
    one, other = (SOURCES[name].survey(8) for name in "ab")
    front, back = one.tap("layer1").macs, other.macs - other.tap("layer2").macs
    positions, classes = 4 * 4, 10
    mixing = 16 * 32 * positions
    if adapter == "residual":
        mixing += 9 * (16 * 128 + 128 * 32) * positions
    dense = 64 * classes if classifier == "new" else 0
    unused = 64 * classes if classifier == "new" else 0  # b's own classifier
    assert cost(kept).macs == front + mixing + back - unused + dense
    own = {"sources.a.conv1", "sources.a.bn1", "sources.a.layer1", "sources.b.layer3"}
    last = (
        {"heads.label.norm", "heads.label.classifier"} if classifier == "new" else {"sources.b.fc"}
    )
    assert {name for name in sections(kept) if not name.startswith("adapters")} == own | last
    used = {
        str(node.target).split(".")[1]
        for node in kept.graph.nodes
        if "sources." in str(node.target)
    }
    assert used == {"a", "b"}


def test_the_random_front_differs_in_its_front_alone() -> None:
    sources = {"a": source("cifar_resnet20"), "b": source("cifar_resnet20", seed=1)}
    given = Ingredients(sources, 8, 10)
    design = Design("stitch", StrategyOptions(at="layer2"), loss="final")
    arm, control = build_arm(design, given), random_front(design, given)
    assert (arm.name, control.name) == ("stitch", "random-front")
    assert control.plan == arm.plan
    assert control.policy == arm.policy
    assert control.loss == arm.loss
    assert set(control.sources) == {"a", "b", "b_teacher"}
    states = [
        {n: dict(s.loaded().module.state_dict()) for n, s in one.sources.items()}
        for one in (arm, control)
    ]
    assert same(states[0]["b"], states[1]["b"])
    assert same(states[0]["b_teacher"], states[1]["b_teacher"])
    convolutions = [name for name in states[0]["a"] if "conv" in name]
    assert not any(torch.equal(states[0]["a"][n], states[1]["a"][n]) for n in convolutions)
    assert control.sources["a"].preprocessing == arm.sources["a"].preprocessing


def test_random_fronts_of_two_seeds_differ_and_of_one_are_equal() -> None:
    given = Ingredients({"a": source("cifar_resnet20"), "b": small(1)}, 8, 10)
    fronts = [
        dict(random_front(Design("stitch"), given, seed).sources["a"].loaded().module.state_dict())
        for seed in (0, 0, 1)
    ]
    assert same(fronts[0], fronts[1])
    assert not same(fronts[0], fronts[2])


def test_only_a_stitch_has_a_random_front() -> None:
    with pytest.raises(UsageError, match="only a stitch"):
        random_front(Design("parallel"), Ingredients(SOURCES, 8, 10))


@pytest.mark.parametrize("strategy", ["parallel", "cross-skip", "ladder"])
def test_co_learning_puts_a_head_on_every_source_and_one_over_all_taps(strategy: str) -> None:
    given = Ingredients(SOURCES, 8, 10, StrategyOptions(hidden=(16,), dropout=0.25))
    arm = build_arm(Design(strategy, given.options, loss="co-learning"), given)
    taps = ", ".join(f"{s}:{t}" for s in "ab" for t in ("layer1", "layer2", "layer3", "flatten"))
    assert str(arm.plan).splitlines()[-4:] == [
        "head a = linear(a:flatten) classes=10 dropout=0.25",
        "head b = linear(b:flatten) classes=10 dropout=0.25",
        f"head label = mlp({taps}) classes=10 hidden=16 dropout=0.25",
        "head mean = average(heads:a, heads:b, heads:label)",
    ]
    assert str(arm.loss) == (
        "1 x task(a) + 1 x task(b) + 1 x task(label) + 1 x mutual(a, b, label)"
    )


@pytest.mark.parametrize(
    ("label", "mean", "kept"),
    [(0.9, 0.5, ("label",)), (0.5, 0.9, ("a", "b", "label", "mean"))],
)
def test_co_learning_keeps_the_better_answer_alone(
    label: float, mean: float, kept: tuple[str, ...], task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(self: FitModule) -> None:
        tops = {"a": 1.0, "b": 1.0, "label": label, "mean": mean}
        self.scores = {name: {"top1": top, "nll": 1.0} for name, top in tops.items()}

    monkeypatch.setattr(FitModule, "on_validation_epoch_end", score)
    arm = build_arm(Design("parallel", loss="co-learning"), Ingredients(SOURCES, 8, 10))
    result = trained(arm, task, 1)
    plan = result.composite.plan
    assert plan.answer == kept[-1]
    assert plan.outputs == kept  # the mean's voters are its parts
    assert tuple(dict(result.composite.heads.named_children())) == kept


def test_distillation_leaves_the_student_alone(task: Task) -> None:
    sources = {**SOURCES, "c": small(2)}
    result = trained(build_arm(Design("distil"), Ingredients(sources, 8, 10)), task, 1)
    assert [ref.name for ref in result.composite.plan.sources] == ["a"]
    assert cost(result.composite).macs == SOURCES["a"].survey(8).macs
