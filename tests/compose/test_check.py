"""Promise 6: a plan is checked whole, before a weight is loaded, and all problems come together."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from convgraft.compose import check, compose
from convgraft.errors import PlanError, Problem, UsageError
from convgraft.opening import compile_plan, open_sources
from convgraft.plan import Head, Plan, SourceRef, Wire
from convgraft.sources import Source, source
from helpers import Tiny, head, images, opened, plan_for, same_state, wire


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    """Two sources, with 8 and 6 channels throughout and five classes each."""
    first, second = Tiny(), Tiny(width=6, seed=1)
    return {"a": source(first, size=16), "b": source(second, size=16)}


def problems(plan: Plan, sources: dict[str, Source]) -> tuple[Problem, ...]:
    with pytest.raises(PlanError) as caught:
        check(plan, sources)
    return caught.value.problems


# What is wrong, and words of the one problem that is reported.
WRONG_WIRES = {
    "unknown source": (wire("c:bn -> b:bn"), '"c:bn" names no source', "one of a, b"),
    "unknown tap": (wire("a:bnn -> b:bn"), 'source "a" has no tap "bnn"', "did you mean bn"),
    "unknown target": (wire("a:bn -> b:con"), 'source "b" has no tap "con"', "did you mean conv"),
    "unknown join": (wire("a:bn -> b:bn", "ad"), 'no join called "ad"', "did you mean add?"),
    "unknown adapter": (
        wire("a:bn -> b:bn", "add", "blok"), 'no adapter called "blok"', "did you mean block?"
    ),
    "start of a replace": (wire("a:bn -> b:bn", "replace"), 'cannot start at "zero"', "start: one"),
    "unknown start": (wire("a:bn -> b:bn", start="half"), 'cannot start at "half"', "start: zero"),
    "several into a gate": (wire("a:bn, a:conv -> b:bn", "gate"), "takes one tap", "2 taps"),
    "several into a replace": (
        wire("a:bn, a:conv -> b:bn", "replace", start="one"), "takes one tap", "2 taps"
    ),
    "channels": (
        wire("a:bn -> b:bn", "add", "identity"), "cannot change the number of channels",
        "b:bn takes [6, 8, 8]\n  found: a:bn gives [8, 8, 8]\n  try: adapter: conv1x1",
    ),
    "start is end": (wire("a:bn -> a:bn"), "ends where it starts", ""),
    "one tap twice": (wire("a:conv, a:conv -> b:bn"), "starts from one tap twice", "a:conv"),
    "no tap": (Wire((), wire("a:bn -> b:bn").target), "starts from at least one tap", ""),
}  # fmt: skip
WRONG_HEADS = {
    "unknown kind": (head("h", "liner", "a:fc", classes=5), '"liner"', "did you mean linear?"),
    "unknown source": (head("h", "linear", "c:fc", classes=5), '"c:fc" names no source', ""),
    "unknown tap": (
        head("h", "linear", "a:flaten", classes=5), 'no tap "flaten"', "did you mean flatten"
    ),
    "no classes": (head("h", "linear", "a:fc"), "needs its number of classes", "2 to 250,000"),
    "one class": (head("h", "linear", "a:fc", classes=1), "needs its number", "found: 1"),
    "no inputs": (Head("h", "linear", (), 5), "needs at least one input", ""),
    "several for one": (head("h", "identity", "a:fc", "b:fc"), "takes one input", "2"),
    "hidden layers": (
        head("h", "linear", "a:fc", classes=5, hidden=(4,)), "no hidden layers", "kind: mlp"
    ),
    "no hidden layers": (head("h", "mlp", "a:fc", classes=5), "needs widths", "hidden: [256]"),
    "hidden width": (head("h", "mlp", "a:fc", classes=5, hidden=(0,)), "needs widths", ""),
    "dropout": (head("h", "linear", "a:fc", classes=5, dropout=1.0), "share from 0 to 1", "1.0"),
    "a map": (head("h", "average", "a:fc", "b:bn"), "takes logits", "b:bn, a map"),
    "widths": (
        head("h", "average", "a:fc", "b:flatten"), "different numbers of classes",
        "a:fc: 5, b:flatten: 6",
    ),
    "another width": (
        head("h", "average", "a:fc", classes=4), "another number of classes", "expected: 4"
    ),
    "an unknown head": (head("h", "average", "heads:g"), 'no head before this one', ""),
    "a tap with classes": (head("h", "tap", "a:bn", classes=4), "has no classes", "4"),
    "a vote with dropout": (
        head("h", "average", "a:fc", "b:fc", dropout=0.5), "has no dropout", "kind: linear"
    ),
    "a ridge with dropout": (
        head("h", "ridge", "a:fc", classes=5, dropout=0.5), "has no dropout", "kind: linear"
    ),
    "too many classes": (
        head("h", "linear", "a:fc", classes=10**23), "number of classes", "2 to 250,000"
    ),
    "too wide": (
        head("h", "mlp", "a:fc", classes=5, hidden=(10**23,)), "needs widths", "1 to 250,000"
    ),
    "a later name": (head("heads", "identity", "a:fc"), "not a usable name", ""),
    "a dotted name": (head("a.b", "identity", "a:fc"), "not a usable name", "letters, digits"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_WIRES)
def test_wires(what: str, sources: dict[str, Source]):
    wrong, words, details = WRONG_WIRES[what]
    (problem,) = problems(plan_for(sources, wires=[wrong], size=16), sources)
    assert problem.where.startswith("wires[0]")
    assert words in problem.what
    assert details in str(problem)


@pytest.mark.parametrize("what", WRONG_HEADS)
def test_heads(what: str, sources: dict[str, Source]):
    wrong, words, details = WRONG_HEADS[what]
    (problem,) = problems(plan_for(sources, heads=[wrong], size=16), sources)
    assert wrong.name in problem.where
    assert words in problem.what
    assert details in str(problem)


def test_everything_wrong_is_reported_together(sources: dict[str, Source]):
    wires = [pair[0] for pair in WRONG_WIRES.values()]
    heads = [
        Head(f"h{number}", wrong.kind, *[getattr(wrong, f) for f in _HEAD_FIELDS])
        for number, (wrong, _, _) in enumerate(WRONG_HEADS.values())
    ]
    found = problems(plan_for(sources, wires=wires, heads=heads, size=16), sources)
    assert {p.where.split(" ")[0] for p in found if p.where.startswith("wires")} == {
        f"wires[{number}]" for number in range(len(wires))
    }
    right = {f"heads.h{len(heads) - 1}", f"heads.h{len(heads) - 2}"}  # only their names were wrong
    everyone = {f"heads.h{number}" for number in range(len(heads))}
    assert {p.where for p in found if p.where.startswith("heads")} == everyone - right
    text = str(PlanError(found))
    assert f"has {len(found)} problems" in text
    assert all(problem.what in text for problem in found)


_HEAD_FIELDS = ("inputs", "classes", "hidden", "dropout")


def test_frame(sources: dict[str, Source]):
    twice = Plan(0, (SourceRef("a", "x"), SourceRef("a", "x"), SourceRef("joins", "x")))
    found = {problem.where: problem.what for problem in problems(twice, sources)}
    assert found["image_size"] == "an image has at least 1 pixel"
    assert found["sources.a"] == "two sources have this name"
    assert found["sources.joins"] == "no such source was given"
    assert found["joins"] == "this is not a usable name"
    assert problems(Plan(16, ()), sources)[0].what == "there is nothing to combine"


def test_a_network_that_is_not_opened_is_no_source(sources: dict[str, Source]):
    given: dict = {**sources, "b": Tiny()}
    (problem,) = problems(plan_for(sources, size=16), given)
    assert (problem.where, problem.what, problem.found) == (
        "sources.b",
        "this is no source",
        "Tiny",
    )
    assert problem.hint == "convgraft.source(network)"


def test_the_text_of_a_plan_is_no_plan(sources: dict[str, Source]):
    text: Any = str(plan_for(sources, size=16))
    with pytest.raises(UsageError, match="a plan is compiled") as caught:
        compile_plan(text, sources)
    assert caught.value.hint == "convgraft.parse_plan(text)"


def test_two_heads_and_two_wires_alike(sources: dict[str, Source]):
    twin_heads = [head("h", "identity", "a:fc"), head("h", "identity", "b:fc")]
    twin_wires = [wire("a:bn -> b:bn"), wire("a:bn -> b:bn", "gate")]
    found = problems(plan_for(sources, wires=twin_wires, heads=twin_heads, size=16), sources)
    assert [p.what for p in found] == [
        "another wire does the same already",
        "two heads have this name",
    ]


RINGS = {
    "two": ["a:conv2 -> b:conv", "b:conv2 -> a:conv"],
    "one backwards": ["a:conv2 -> a:conv"],
    "through a join": ["a:bn -> b:bn", "b:conv2 -> a:conv"],
}
FINE = {
    "both ways at one depth": ["a:bn -> b:bn", "b:bn -> a:bn"],
    "onwards": ["a:conv -> b:conv2", "b:conv -> a:conv2"],
}


@pytest.mark.parametrize("name", RINGS)
def test_circles_are_named(name: str, sources: dict[str, Source]):
    wires = [wire(text) for text in RINGS[name]]
    (problem,) = problems(plan_for(sources, wires=wires, size=16), sources)
    assert "feed each other in a circle" in problem.what
    assert problem.found == "; ".join(RINGS[name])
    assert problem.hint


def test_every_circle_is_named_and_nothing_else(sources: dict[str, Source]):
    more = {**sources, "c": sources["a"], "d": sources["b"]}
    wires = [wire(text) for text in RINGS["two"]]
    wires += [wire("a:bn -> c:bn"), wire("c:conv2 -> d:bn"), wire("d:conv2 -> c:bn")]
    found = problems(plan_for(more, wires=wires, size=16), more)
    assert sorted(str(problem.found) for problem in found) == [
        "; ".join(RINGS["two"]), "c:conv2 -> d:bn; d:conv2 -> c:bn"
    ]  # fmt: skip


@pytest.mark.parametrize("name", FINE)
def test_wires_both_ways_are_no_circle(name: str, sources: dict[str, Source]):
    plan = plan_for(sources, wires=[wire(text) for text in FINE[name]], size=16)
    assert check(plan, sources).plan == plan


def test_an_image_that_is_too_small_says_what_is_enough():
    own = opened("custom16")
    (problem,) = problems(plan_for({"net": own}, size=8), {"net": own})
    assert problem.where == "sources.net (custom16)"
    assert "at pool4" in (problem.found or "")
    assert problem.hint == "--image-size 16 or larger"
    check(plan_for({"net": own}, size=16), {"net": own})


def test_all_sources_that_cannot_be_opened_are_reported_together():
    refs = [SourceRef("a", "cifar_resnet21"), SourceRef("b", "custom16@none.pth")]
    with pytest.raises(PlanError) as caught:
        open_sources(Plan(32, (*refs, SourceRef("c", "cifar_resnet20"))))
    assert [p.where for p in caught.value.problems] == ["sources.a", "sources.b"]


def test_no_weight_is_loaded_for_a_plan_with_problems(tmp_path: Path):
    trained = source("cifar_resnet20", seed=8).module
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    plan = Plan(32, (SourceRef("a", f"cifar_resnet20@{tmp_path / 'w.safetensors'}"),))
    waiting = open_sources(plan)
    wrong = Plan(32, plan.sources, heads=(head("h", "linear", "a:nothing", classes=3),))
    with pytest.raises(PlanError):
        compose(wrong, waiting)
    assert waiting["a"].pending is not None
    assert not same_state(waiting["a"].module, trained)
    assert same_state(compose(plan, waiting).sources.a, trained)


@pytest.mark.parametrize(
    "texts", [["a:layer1 -> a:layer1.2"], ["a:bn1 -> a:layer1", "a:bn1 -> a:layer1.2.relu_1"]]
)
def test_wires_alike_by_an_alias(texts: list[str]):
    own = {"a": opened("cifar_resnet20")}
    assert problems(plan_for(own, wires=[wire(text) for text in texts]), own)


def test_a_head_that_reads_an_empty_head(sources: dict[str, Source]):
    heads = [Head("x", "average", ()), head("y", "average", "heads:x")]
    found = problems(plan_for(sources, heads=heads, size=16), sources)
    assert found[0].where == "heads.x"


def test_a_head_that_reads_itself(sources: dict[str, Source]):
    heads = [head("x", "average", "heads:x"), head("y", "average", "heads:x")]
    found = problems(plan_for(sources, heads=heads, size=16), sources)
    assert found[0].where == "heads.x"


@pytest.mark.parametrize("name", ["net-1", "_x", "self", "image", "a", "weight", "output"])
def test_names_that_are_accepted_work(name: str, sources: dict[str, Source]):
    assert_works_or_is_refused(name, sources)


@pytest.mark.parametrize("name", ["class", "lambda", "None", "type", "float", "train", "forward"])
def test_names_with_a_meaning_elsewhere(name: str, sources: dict[str, Source]):
    assert_works_or_is_refused(name, sources)


def assert_works_or_is_refused(name: str, sources: dict[str, Source]) -> None:
    named = {name: sources["a"]}
    plan = plan_for(named, heads=[head(name, "linear", f"{name}:bn", classes=3)], size=16)
    try:
        check(plan, named)
    except PlanError:
        return
    assert list(compose(plan, named).eval()(images(16))) == [name]
