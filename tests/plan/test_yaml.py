"""Every mistake in a plan's YAML is told with its line and column, all of them together."""

from pathlib import Path

import pytest

from convgraft.errors import PlanError, Problem
from convgraft.plan import Plan, SourceRef, plan_from_yaml, plan_to_yaml

FRAME = "image_size: 32\nsources: {a: x}\n"


def problems(text: str) -> list[Problem]:
    with pytest.raises(PlanError) as caught:
        plan_from_yaml(text, name="p.yaml")
    return list(caught.value.problems)


# The mistake, the line and column of its place, and words of the message.
MISTAKES = {
    "unknown key": ("image_size: 32\nsorces: {}\nsources: {a: x}\n", "2:1", '"sorces" is not'),
    "missing key": ("\nimage_size: 32\n", "2:1", '"sources" is missing'),
    "double key": ("image_size: 32\nsources:\n  a: x\n  a: y\n", "4:3", '"a" stands here twice'),
    "not a number": ("image_size: big\nsources: {a: x}\n", "1:13", "a number of pixels"),
    "a fraction": ("image_size: 3.5\nsources: {a: x}\n", "1:13", "a number of pixels"),
    "a list for a number": ("image_size: [1]\nsources: {a: x}\n", "1:13", "a number of pixels"),
    "another format": ("convgraft: 2\n" + FRAME, "1:12", "plans of format 2 are not known"),
    "sources as a list": ("image_size: 32\nsources: [a]\n", "2:10", "a mapping (key: value)"),
    "a source as a list": ("image_size: 32\nsources:\n  a: [x]\n", "3:6", "a mapping (key: value)"),
    "a source without network": ("image_size: 1\nsources:\n  a: {classes: 3}\n", "3:6", "missing"),
    "key of a source": (
        "image_size: 1\nsources:\n  a: {network: x, klasses: 3}\n", "3:19", '"klasses" is not known'
    ),
    "classes of a source": (
        "image_size: 1\nsources:\n  a: {network: x, classes: many}\n", "3:28", "number of classes"
    ),
    "mean of a source": (
        "image_size: 1\nsources:\n  a: {network: x, mean: [0.5, red]}\n", "3:31", "a number"
    ),
    "mean as a mapping": (
        "image_size: 1\nsources:\n  a: {network: x, mean: {r: 1}}\n", "3:25", "a list is expected"
    ),
    "a run's plan as a word": (
        "image_size: 1\nsources:\n  a: {network: x, plan: y}\n", "3:25", "a mapping (key: value)"
    ),
    "a run's plan without sources": (
        "image_size: 1\nsources:\n  a:\n    network: x\n    plan: {image_size: 2}\n",
        "5:11", '"sources" is missing',
    ),
    "a wire as a word": (FRAME + "wires: [a]\n", "3:9", "a mapping (key: value)"),
    "wires as a mapping": (FRAME + "wires: {from: a}\n", "3:8", "a list is expected"),
    "a wire without end": (FRAME + "wires:\n- {from: a:x}\n", "4:3", '"to" is missing'),
    "a tap without source": (FRAME + "wires:\n- from: x\n  to: a:y\n", "4:9", "SOURCE:TAP"),
    "one tap of several": (FRAME + "wires:\n- from: [a:x, y]\n  to: a:y\n", "4:15", "SOURCE:TAP"),
    "a target as a list": (FRAME + "wires:\n- from: a:x\n  to: [a:y]\n", "5:7", "SOURCE:TAP"),
    "a join as a list": (
        FRAME + "wires:\n- {from: a:x, to: a:y, join: [add]}\n", "4:30", "a word is expected"
    ),
    "a head without kind": (FRAME + "heads:\n  h: {from: [a:x]}\n", "4:6", '"kind" is missing'),
    "hidden width": (
        FRAME + "heads:\n  h: {kind: mlp, from: a:x, hidden: [wide]}\n", "4:38", "a width"
    ),
    "dropout": (
        FRAME + "heads:\n  h: {kind: mlp, from: a:x, dropout: half}\n", "4:38", "a share"
    ),
    "a key that is no word": ("image_size: 32\nsources: {a: x}\n? [b]\n: 1\n", "3:3", "a key must"),
    "no mapping at all": ("- image_size\n", "1:1", "a mapping (key: value)"),
    "nothing at all": ("# only a comment\n", "1:1", "the file is empty"),
    "no YAML": ("image_size: 32\nsources: {a: x\n", "3:1", "this is not YAML"),
    "a tab": ("image_size:\n\t32\n", "2:1", "this is not YAML"),
    "an alias": ("image_size: &size 32\nsources: {a: x}\nwires: *size\n", "3:8", "aliases"),
    "deep nesting": ("a: " + "[" * 55, "1:53", "nested too deeply"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_line_and_column(mistake: str):
    text, where, words = MISTAKES[mistake]
    found = problems(text)
    assert (found[0].where, words in str(found[0])) == (f"p.yaml:{where}", True), found[0]


def test_all_mistakes_are_reported_together():
    text = (
        "image_size: big\n"
        "sources:\n"
        "  a: {network: x, classes: many}\n"
        "wires:\n"
        "- {from: a, to: b:y}\n"
        "- {from: a:x, too: b:y}\n"
        "heads:\n"
        "  h: {kind: linear, from: [a:x], dropout: half}\n"
    )
    found = problems(text)
    lines = [int(problem.where.split(":")[1]) for problem in found]
    assert sorted(lines) == [1, 3, 5, 6, 6, 8]


def test_near_misses_are_suggested():
    (problem,) = problems(FRAME + "wires:\n- {from: a:x, to: a:y, adaptor: block}\n")
    assert problem.hint == "did you mean adapter?"
    assert problem.expected == "from, to, join, adapter, start"


def test_an_alias_bomb_is_refused_at_once():
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
    found = problems("l0: &l0 [lol]\n" + levels)
    assert "aliases" in found[0].what


def test_nesting_beyond_the_stack_is_refused():
    assert "nested too deeply" in problems("[" * 100_000)[0].what


def test_a_file_too_large_is_refused():
    assert "too large" in problems("# " + "x" * 1_000_001)[0].what


def test_a_control_character_is_no_yaml():
    assert "not YAML" in problems("image_size: \x00")[0].what


@pytest.mark.parametrize(
    "value",
    ["!!python/object/apply:os.mkdir [evil]", '!!python/object/apply:os.mkdir ["evil"]'],
)
def test_a_python_tag_does_not_run(value: str):
    assert "tags are not allowed" in problems(f"image_size: {value}\nsources: {{a: x}}\n")[0].what
    assert not Path("evil").exists()


@pytest.mark.parametrize("tag", ["!!python/int", "!own", "!!binary", "!!python/name:os.system"])
def test_tags_are_refused(tag: str):
    found = problems(f"image_size: 32\nsources:\n  a: {tag} x\n")
    assert found[0].where == "p.yaml:3:6"


@pytest.mark.parametrize(
    "text",
    [
        "image_size: ~\nsources: {a: x}\n",
        "image_size: 32\nsources: {a: }\n",
        "image_size: 32\nsources: {a: {network: ~}}\n",
        FRAME + "wires:\n- {from: a:x, to: ~}\n",
        FRAME + "wires:\n- {from: [a:x, ~], to: a:y}\n",
        FRAME + "heads:\n  h: {kind: ~, from: a:x}\n",
        FRAME + "heads:\n  h: {kind: mlp, from: a:x, hidden: [8, ~]}\n",
    ],
)
def test_null_where_something_must_be(text: str):
    assert problems(text)[0].where.count(":") == 2


def test_wires_and_heads_that_are_all_gone():
    text = (
        "image_size: 32\nsources: {a: cifar_resnet20}\nwires:\n  # - {from: a:x, to: a:y}\nheads:\n"
    )
    assert plan_from_yaml(text) == Plan(32, (SourceRef("a", "cifar_resnet20"),))


def test_short_and_long_forms_mean_the_same():
    short = "image_size: 32\nsources: {a: x}\nwires: [{from: a:l, to: a:m}]\n"
    long = (
        "convgraft: 1\nimage_size: 32\nsources:\n  a:\n    network: x\n"
        "wires:\n- from: ['a:l']\n  to: 'a:m'\n  join: add\n  adapter: conv1x1\n  start: zero\n"
    )
    assert plan_from_yaml(short) == plan_from_yaml(long)


def test_mistakes_in_a_plan_within_a_plan_are_told_with_line_and_column():
    text = (
        "image_size: 32\n"
        "sources:\n"
        "  x:\n"
        "    network: runs/x\n"
        "    plan:\n"
        "      image_size: big\n"
        "      sources:\n"
        "        a: {network: y, klasses: 3}\n"
        "        z: {network: runs/z, plan: {image_size: 8, sources: {q: [r]}}}\n"
        "      wires:\n"
        "      - {from: a, to: z:l}\n"
        "heads:\n"
        "  h: {kind: linear, from: [x], classes: 2}\n"
    )
    places = sorted({problem.where for problem in problems(text)})
    assert places == [f"p.yaml:{p}" for p in ("11:16", "13:28", "6:19", "8:25", "9:65")]


def test_plans_within_plans_are_read_as_deep_as_they_are_written():
    plan = Plan(8, (SourceRef("a", "x", plan=None),))
    for _ in range(10):
        plan = Plan(8, (SourceRef("a", "runs/x", plan=plan),))
    assert plan_from_yaml(plan_to_yaml(plan)) == plan


@pytest.mark.parametrize("name", ["\x85caf\u00e9@\u2028", "a\u2029b", "x # y", "yes"])
def test_a_network_of_any_name_comes_back(name: str):
    plan = Plan(32, (SourceRef("a", name),))
    assert plan_from_yaml(plan_to_yaml(plan)) == plan


def test_a_plan_without_sources_comes_back():
    assert plan_from_yaml(plan_to_yaml(Plan(32, ()))) == Plan(32, ())
