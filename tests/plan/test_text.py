"""`parse_plan(str(plan)) == plan`, and errors that name every line that is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convgraft.errors import PlanError, UsageError
from convgraft.plan import (
    Head,
    Plan,
    SourceRef,
    TapRef,
    Wire,
    parse_plan,
    plan_from_yaml,
    plan_to_yaml,
    read_plan,
)

words = st.from_regex(r"[A-Za-z][A-Za-z0-9_\-]{0,8}", fullmatch=True)
paths = st.from_regex(r"[A-Za-z0-9_]{1,6}(\.[A-Za-z0-9_]{1,6}){0,3}", fullmatch=True)
shares = st.floats(0, 1, exclude_max=True)
numbers = st.floats(-10, 10)
counts = st.integers(1, 10**6)
characters = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
networks = st.one_of(
    st.from_regex(
        r"(torchvision|timm)/[a-z0-9_.]{1,12}(@[^\s\"\\]{1,12})?",
        fullmatch=True,
        alphabet=characters,
    ),
    st.builds("cifar_resnet20@{}".format, st.text(characters, min_size=1, max_size=20)),
)
channels = st.one_of(st.none(), st.tuples(numbers), st.tuples(numbers, numbers, numbers))
taps = st.builds(TapRef, words, paths)
tap_tuples = st.lists(taps, min_size=1, max_size=3).map(tuple)
sources = st.builds(
    SourceRef,
    name=words,
    network=networks.map(str.strip),
    classes=st.none() | counts,
    mean=channels,
    std=channels,
    size=st.none() | counts,
)
within = st.builds(Plan, image_size=counts, sources=st.tuples(sources))
runs = st.builds(SourceRef, name=words, network=networks.map(str.strip), plan=within)
twice = st.builds(
    SourceRef, name=words, network=words, plan=st.builds(Plan, counts, st.tuples(runs, sources))
)
wires = st.builds(Wire, inputs=tap_tuples, target=taps, join=words, adapter=words, start=words)
heads = st.builds(
    Head,
    name=words,
    kind=st.from_regex(r"[a-z_]{1,9}", fullmatch=True),
    inputs=tap_tuples,
    classes=st.none() | counts,
    hidden=st.lists(counts, max_size=3).map(tuple),
    dropout=shares,
    column=st.text(characters, max_size=8),
)


def _unique(items: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(items, max_size=3, unique_by=lambda item: item.name).map(tuple)


plans = st.builds(
    Plan,
    image_size=counts,
    sources=_unique(st.one_of(sources, runs, twice)).filter(bool),
    wires=st.lists(wires, max_size=3).map(tuple),
    heads=_unique(heads),
)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(plans)
def test_text_comes_back_as_the_same_plan(plan: Plan):
    assert parse_plan(str(plan)) == plan


@settings(deadline=None, max_examples=60, derandomize=True)
@given(plans)
def test_yaml_comes_back_as_the_same_plan(plan: Plan):
    assert plan_from_yaml(plan_to_yaml(plan)) == plan


@settings(deadline=None, max_examples=60, derandomize=True)
@given(plans)
def test_both_forms_keep_the_hash(plan: Plan):
    assert plan_from_yaml(plan_to_yaml(plan)).hash == parse_plan(str(plan)).hash == plan.hash


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.text(max_size=200))
def test_any_text_is_a_plan_or_a_plan_error(text: str):
    for read in (parse_plan, plan_from_yaml):
        try:
            assert isinstance(read(text), Plan)
        except PlanError as error:
            assert error.problems


EXAMPLE = """\
image 32
source a = cifar_resnet20@w.safetensors classes=10
source b = "cifar_resnet56@my \\"best\\" weights.pth" classes=10 mean=0.5,0.5,0.5 size=64
wire a:layer1 -> b:layer1 join=add adapter=identity start=zero
wire a:layer2, a:layer3 -> b:layer2.0 join=concat adapter=conv1x1 start=one
head label = mlp(a:flatten, b:flatten) classes=8 hidden=64,32 dropout=0.5
head both = average(a:fc, heads:label)
"""


def test_the_text_form():
    a, b = TapRef.parse("a:layer1"), TapRef.parse("b:layer1")
    plan = parse_plan(EXAMPLE)
    assert plan.image_size == 32
    assert plan.sources[1] == SourceRef(
        "b", 'cifar_resnet56@my "best" weights.pth', 10, (0.5, 0.5, 0.5), None, 64
    )
    assert plan.wires[0] == Wire((a,), b, "add", "identity", "zero")
    assert len(plan.wires[1].inputs) == 2
    assert plan.heads[0].hidden == (64, 32)
    assert plan.heads[1].inputs == (TapRef("a", "fc"), TapRef("heads", "label"))
    assert str(plan) == EXAMPLE


def test_comments_and_empty_lines_do_not_matter():
    spaced = "# a plan\n\n" + EXAMPLE.replace("\n", "\n\n  # and\n")
    assert parse_plan(spaced) == parse_plan(EXAMPLE)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sauce a = x", "a line begins with image, source, wire or head"),
        ("source a x", "not how a source is written"),
        ("source a = x klasses=3", '"klasses" is not one of classes, mean, std, size'),
        ("source a = x classes=three", "three"),
        ("wire a:x b:y", "not how a wire is written"),
        ("wire a -> b:y", '"a" is not of the form SOURCE:TAP'),
        ("wire a:x -> :y", '":y" is not of the form SOURCE:TAP'),
        ("head h = linear a:x", "not how a head is written"),
        ("head h = linear(a) classes=3", '"a" is not of the form SOURCE:TAP'),
        ("image big", "not how a image is written"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, words: str):
    with pytest.raises(PlanError) as caught:
        parse_plan(f"image 32\nsource z = x\n{line}\n", name="p.txt")
    (problem,) = caught.value.problems
    assert problem.where == "p.txt:3"
    assert words in problem.what
    assert problem.found == line


def test_all_lines_that_cannot_be_read_are_reported_together():
    with pytest.raises(PlanError) as caught:
        parse_plan("source a\nwire b\nhead c\n")
    assert [p.where.rpartition(":")[2] for p in caught.value.problems[:3]] == ["1", "2", "3"]
    assert "one line with its image size" in caught.value.problems[3].what
    assert "has 4 problems" in str(caught.value)


@pytest.mark.parametrize("network", ["x@a\u2028b.pth", "x@a\nb.pth", "x@a\x85b.pth"])
def test_paths_with_line_separators(network: str):
    plan = Plan(32, (SourceRef("a", network),))
    assert parse_plan(str(plan)) == plan


def test_widths_that_numpy_chose():
    widths: Any = tuple(np.array([256, 32]))
    wide = Head("h", "mlp", (TapRef("a", "x"),), 3, hidden=widths)
    plan = Plan(32, (SourceRef("a", "cifar_resnet20"),), (), (wide,))
    assert parse_plan(str(plan)).heads[0].hidden == (256, 32)


def test_means_that_numpy_computed():
    mean = tuple(np.array([0.25, 0.5, 0.75]))
    plan = Plan(32, (SourceRef("a", "x", mean=mean),))
    assert parse_plan(str(plan)) == plan


VARIANTS = {
    "image size": ("image 32", "image 33"),
    "source name": ("source a =", "source c ="),
    "network": ("cifar_resnet20@", "cifar_resnet32@"),
    "classes of a source": ("w.safetensors classes=10", "w.safetensors classes=11"),
    "mean": ("mean=0.5,0.5,0.5", "mean=0.5,0.5,0.25"),
    "size": ("size=64", "size=65"),
    "wire input": ("a:layer1 ->", "a:layer2 ->"),
    "wire target": ("-> b:layer1", "-> b:layer3"),
    "join": ("join=add", "join=gate"),
    "adapter": ("adapter=identity", "adapter=block"),
    "start": ("start=zero", "start=one"),
    "head kind": ("= average(", "= linear("),
    "head input": ("(a:fc,", "(b:fc,"),
    "hidden": ("hidden=64,32", "hidden=64"),
    "dropout": ("dropout=0.5", "dropout=0.25"),
}


@pytest.mark.parametrize("what", VARIANTS)
def test_the_hash_changes_with_everything(what: str):
    old, new = VARIANTS[what]
    assert EXAMPLE.replace(old, new) != EXAMPLE
    assert parse_plan(EXAMPLE.replace(old, new)).hash != parse_plan(EXAMPLE).hash


def test_the_hash_stays_what_it_is():
    expected = "d673a4b4ee9232b4dcb6d0b065c3431677e776e599fa96ef20a53cd4cf03c848"
    assert parse_plan(EXAMPLE).hash == expected


def test_classes_that_were_left_open_are_filled_in():
    plan = parse_plan(
        "image 8\nsource a = x\nhead p = linear(a:t)\nhead q = mlp(a:t) classes=4 hidden=2\n"
        "head r = average(a:fc)\n"
    )
    filled = plan.with_classes(9)
    assert [head.classes for head in filled.heads] == [9, 4, None]
    assert [head.classes for head in plan.heads] == [None, 4, None]


def test_answers_by_name():
    plan = parse_plan(EXAMPLE)
    assert plan.outputs == ("label", "both")
    assert plan.answer == "both"
    assert plan.trained == ("label",)
    headless = Plan(32, plan.sources)
    assert headless.outputs == headless.trained == ("a", "b")


def test_reading_a_plan_from_a_file(tmp_path: Path):
    plan = parse_plan(EXAMPLE)
    (tmp_path / "plan.yaml").write_text(plan_to_yaml(plan))
    assert read_plan(tmp_path / "plan.yaml") == plan
    with pytest.raises(UsageError):
        read_plan(tmp_path / "none.yaml")


NESTED = r"""image 32
source x = runs/x classes=3 plan="image 16\nsource a = \"my nets/a\" size=8\nsource b = y\n"
head label = linear(x:features) classes=3 column="coarse label"
"""


def test_a_plan_within_a_plan():
    plan = parse_plan(NESTED)
    assert plan.sources[0].plan == Plan(
        16, (SourceRef("a", "my nets/a", size=8), SourceRef("b", "y"))
    )
    assert plan.heads[0].column == "coarse label"
    assert str(plan) == NESTED
    assert [path for path, _ in plan.all_sources()] == ["x", "x.a", "x.b"]
    without = Plan(32, (SourceRef("x", "runs/x", 3),), heads=plan.heads)
    assert plan.hash != without.hash


def test_a_line_of_a_plan_within_a_plan_is_named():
    text = 'image 32\nsource x = r plan="image 16\\nsource a\\nsource b = y klasses=3\\n"\n'
    with pytest.raises(PlanError) as caught:
        parse_plan(text, name="p.txt")
    first, second = caught.value.problems
    assert (first.where, first.found) == ("p.txt:2: plan:2", "source a")
    assert (second.where, second.found) == ("p.txt:2: plan:3", "source b = y klasses=3")


@pytest.mark.parametrize(
    "option", ['plan="image 3', r'plan="\q"', 'plan="image 3""', 'plan= "image 3"', "plan=image"]
)
def test_options_that_are_not_quoted_well(option: str):
    with pytest.raises(PlanError) as caught:
        parse_plan(f"image 32\nsource x = r {option}\n", name="p.txt")
    assert caught.value.problems[0].where.startswith("p.txt:2")
