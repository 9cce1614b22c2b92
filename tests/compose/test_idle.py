"""Promise 4: nothing idle runs, and nothing idle is kept."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from convgraft.compose import Composite, compose, cost
from convgraft.sources import Source, source
from helpers import Tiny, head, images, opened, plan_for, wire


def pair() -> dict[str, Source]:
    return {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet20", seed=1)}


def stitch(join: str = "replace") -> Composite:
    sources = pair()
    plan = plan_for(
        sources,
        wires=[wire("a:layer2 -> b:layer2", join, start="one")],
        heads=[head("label", "identity", "b:fc")],
    )
    return compose(plan, sources)


def macs_of_a_run(composite: Composite) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        composite.eval()(images(32, 1))
    return counter.get_total_flops() // 2


def test_a_stitch_costs_its_front_its_adapter_and_its_back():
    survey = opened("cifar_resnet20").survey(32)
    front = survey.tap("layer2").macs
    back = survey.macs - front
    adapter = 32 * 32 * 16 * 16
    composite = stitch()
    assert cost(composite).macs == front + adapter + back
    assert macs_of_a_run(composite) == front + adapter + back


def test_a_stitch_keeps_the_weights_it_runs_alone():
    composite = stitch()
    sections = {".".join(name.split(".")[:3]) for name in composite.state_dict()}
    assert {s for s in sections if s.startswith("sources.a")} == {
        "sources.a.conv1", "sources.a.bn1", "sources.a.layer1", "sources.a.layer2",
    }  # fmt: skip
    assert {s for s in sections if s.startswith("sources.b")} == {
        "sources.b.layer3", "sources.b.fc",
    }  # fmt: skip
    network = opened("cifar_resnet20").module
    kept = [network.conv1, network.bn1, network.layer1, network.layer2, network.layer3, network.fc]
    weights = sum(p.numel() for part in kept for p in part.parameters()) + 32 * 32 + 32
    assert cost(composite).parameters == weights
    assert sum(p.numel() for p in composite.parameters()) == weights


def test_a_join_that_keeps_the_own_value_keeps_its_front():
    assert cost(stitch("add")).macs > cost(stitch()).macs
    assert "sources.b.conv1.weight" in stitch("add").state_dict()


def test_a_cascade_drops_the_image_of_the_second_network():
    sources = pair()
    plan = plan_for(
        sources,
        wires=[wire("a:layer1 -> b:input", "replace", start="one")],
        heads=[head("label", "identity", "b:fc")],
    )
    composite = compose(plan, sources)
    survey = opened("cifar_resnet20").survey(32)
    assert cost(composite).macs == survey.tap("layer1").macs + 16 * 3 * 32 * 32 + survey.macs
    assert [name for name, _ in composite.preprocess.named_children()] == ["a"]


def test_a_source_that_reaches_no_answer_is_gone():
    sources = pair()
    plan = plan_for(sources, heads=[head("label", "identity", "a:fc")])
    composite = compose(plan, sources)
    assert cost(composite).macs == opened("cifar_resnet20").survey(32).macs
    assert not [name for name in composite.state_dict() if name.startswith("sources.b")]


def test_a_wire_that_reaches_no_answer_is_gone():
    sources = pair()
    plan = plan_for(
        sources, wires=[wire("a:layer1 -> b:layer1")], heads=[head("label", "identity", "a:fc")]
    )
    composite = compose(plan, sources)
    assert not [name for name in composite.state_dict() if not name.startswith("sources.a")]


def test_classifiers_that_a_head_does_not_read_are_gone():
    sources = pair()
    plan = plan_for(sources, heads=[head("h", "linear", "a:flatten", "b:layer1", classes=3)])
    composite = compose(plan, sources)
    survey = opened("cifar_resnet20").survey(32)
    dense = (64 + 16) * 3
    front, back = survey.tap("flatten").macs, survey.tap("layer1").macs
    assert cost(composite).macs == macs_of_a_run(composite) == front + back + dense
    assert not [name for name in composite.state_dict() if ".fc." in name]


def test_training_heads_are_gone_in_both_modes():
    own = opened("torchvision/googlenet")
    composite = compose(plan_for({"net": own}, size=64), {"net": own})
    assert not [name for name in composite.state_dict() if "aux" in name]
    for graph in (composite.graph, composite.train_graph):
        assert not [node for node in graph.nodes if "aux" in str(node.target)]
    assert cost(composite).macs == own.survey(64).macs
    assert cost(composite).parameters == own.survey(64).parameters


def test_trainable_weights_are_counted():
    composite = compose(
        plan_for({"net": source(Tiny(), size=16)}, size=16), {"net": source(Tiny())}
    )
    everything = cost(composite)
    assert everything.trainable == everything.parameters
    composite.sources.net.conv.requires_grad_(False)
    fewer = cost(composite)
    assert everything.trainable - fewer.trainable == 3 * 8 * 9 + 8
    assert fewer.parameters == everything.parameters
