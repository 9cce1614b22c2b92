"""Text that nobody should have to read: refused with its place, soon, and nothing in it is run."""

from pathlib import Path

import pytest

from convgraft.data import open_images
from convgraft.data.label_map import read_label_map
from convgraft.errors import DataError, PlanError, UsageError
from convgraft.plan import (
    Head,
    Plan,
    SourceRef,
    parse_plan,
    plan_from_yaml,
    plan_to_yaml,
    read_plan,
)
from convgraft.plan.located import MAX_PROBLEMS
from convgraft.plan.plain_yaml import MAX_BYTES, is_file
from convgraft.plan.shown import shown, shown_name
from convgraft.studies.study_file import read_study
from convgraft.training import read_policy

FRAME = "image_size: 32\nsources: {a: x}\n"


def first(text: str) -> str:
    with pytest.raises(PlanError) as caught:
        plan_from_yaml(text, name="p.yaml")
    return str(caught.value.problems[0])


# what cannot come back as itself from a plan's text form, and where it stands
NO_PLAN = {
    "no pixels": ("image_size: 0\nsources: {a: x}\n", "1:13"),
    "less than none": ("image_size: -3\nsources: {a: x}\n", "1:13"),
    "more than any": ("image_size: 1" + "0" * 400 + "\nsources: {a: x}\n", "1:13"),
    "no classes": ("image_size: 1\nsources:\n  a: {network: x, classes: 0}\n", "3:28"),
    "no number": ("image_size: 1\nsources:\n  a: {network: x, mean: [.nan]}\n", "3:26"),
    "an infinite share": (FRAME + "heads:\n  h: {kind: mlp, from: a:x, dropout: 1e999}\n", "4:38"),
    "two words": (FRAME + "wires:\n- {from: a:x, to: a:y, join: a b}\n", "4:30"),
    "no word": (FRAME + 'wires:\n- {from: a:x, to: a:y, join: ""}\n', "4:30"),
    "a kind with a bracket": (FRAME + 'heads:\n  h: {kind: "m(", from: a:x}\n', "4:13"),
    "a tap with a comma": (FRAME + 'wires:\n- {from: "a:x,b:y", to: a:y}\n', "4:10"),
    "a name with a space": ("image_size: 3\nsources: {a b: x}\n", "2:11"),
    "a wire from nowhere": (FRAME + "wires:\n- {from: [], to: a:y}\n", "4:10"),
    "a null character": ('image_size: 3\nsources: {a: "x\\0"}\n', "2:14"),
    "half a surrogate pair": ('image_size: 3\nsources: {a: "\\ud800"}\n', "2:14"),
    "beyond Unicode": ('image_size: 3\nsources: {a: "\\UFFFFFFFF"}\n', "2:17"),
    "a control character": ("image_size: 3\nsources: {a: \x07}\n", "2:14"),
}


@pytest.mark.parametrize("what", NO_PLAN)
def test_what_a_plan_cannot_hold_is_told_with_its_place(what: str):
    text, place = NO_PLAN[what]
    assert first(text).startswith(f"p.yaml:{place}: "), first(text)


def test_a_head_without_inputs_comes_back_from_both_forms():
    plan = Plan(8, (SourceRef("a", "x"),), heads=(Head("h", "average", ()),))
    assert plan_from_yaml(plan_to_yaml(plan)) == parse_plan(str(plan)) == plan


def test_zeros_stay_in_the_text_form():
    plan = Plan(8, (SourceRef("a", "x", classes=0, size=0),))
    assert parse_plan(str(plan)) == plan


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("source a = x classes=1 classes=2", "stands here twice"),
        ("source a = x mean=nan", "not a finite number"),
        ('source a = "\\ud800"', "no text"),
        ('wire a:x -> a:y join="a b"', "not one word"),
        ("head a = b()" + ") a=b" * 20_000 + "!", "not how a head is written"),
    ],
)
def test_lines_that_do_not_come_back_are_refused(line: str, words: str):
    with pytest.raises(PlanError) as caught:
        parse_plan(f"image 3\n{line}")
    assert words in str(caught.value) and len(str(caught.value)) < 3000


@pytest.mark.parametrize("read", [parse_plan, plan_from_yaml])
def test_no_more_problems_are_told_than_can_be_read(read):
    with pytest.raises(PlanError) as caught:
        read("".join(f"k{number}: 1\n" for number in range(2000)))
    assert len(caught.value.problems) == MAX_PROBLEMS
    with pytest.raises(PlanError, match="too large"):
        read("#" * (MAX_BYTES + 1))


def test_long_and_dangerous_words_are_shortened_and_made_plain():
    told = first('sources: {a: x}\nimage_size: "\\e[2J' + "x" * 5000 + '"\n')
    assert "\x1b" not in told and "\\x1b[2J" in told and len(told) < 3000
    assert shown("ab\x9bcd", 4) == "ab\\x9bc..."
    assert shown_name("a\nb\udcff.png") == "a\\nb\\xff.png"


READERS = {
    "plan": (read_plan, UsageError),
    "study": (read_study, UsageError),
    "policy": (lambda path: read_policy(str(path)), UsageError),
    "label map": (lambda path: read_label_map(path, open_images("digits")), DataError),
}


@pytest.mark.parametrize("what", READERS)
def test_a_file_that_is_no_text_says_where(tmp_path: Path, what: str):
    read, kind = READERS[what]
    path = tmp_path / "p.yaml"
    path.write_bytes(b"a: b\n# caf\xe9\n")
    with pytest.raises(kind, match="cannot be read") as caught:
        read(path)
    assert caught.value.found == "byte 0xe9 at line 2, byte 6"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(kind, match="too large"):
        read(path)


def test_a_byte_order_mark_is_no_matter(tmp_path: Path):
    (tmp_path / "p.yaml").write_text(FRAME, encoding="utf-8-sig")
    assert read_plan(tmp_path / "p.yaml") == plan_from_yaml(FRAME)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_what_cannot_be_the_name_of_a_policy(name: str):
    assert not is_file(Path(name))
    with pytest.raises(UsageError, match="no freeze policy"):
        read_policy(name)
