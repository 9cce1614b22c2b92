import pytest

from convgraft.errors import UsageError
from convgraft.sources import Place, parse_selection, tap_places
from helpers import opened

PLACES = {
    "a.conv1": Place("a", ("conv1",), 0.0, frozenset({"layer"})),
    "a.layer1": Place("a", ("layer1", "layer1.1", "layer1.1.relu"), 0.3, frozenset({"block"})),
    "a.layer1.0": Place("a", ("layer1.0", "layer1.0.relu"), 0.2, frozenset({"block"})),
    "a.layer2": Place("a", ("layer2",), 0.6, frozenset({"block"})),
    "a.fc": Place("a", ("fc",), 1.0, frozenset({"logits"})),
    "b.conv1": Place("b", ("conv1",), 0.0, frozenset({"layer"})),
    "b.features.12": Place("b", ("features.12",), 0.7, frozenset({"block"})),
    "b.features.1": Place("b", ("features.1",), 0.1, frozenset({"activation"})),
    "heads.label": Place("heads", ("label", "label.classifier")),
    "heads.aux": Place("heads", ("aux",)),
    "adapters.w": Place("adapters", ("a:layer1->b:features/1",)),
    "joins.w": Place("joins", ("a:layer1->b:features/1",)),
}
SOURCES = {name for name, place in PLACES.items() if place.depth is not None}
MATCHES = {
    "conv1": {"a.conv1", "b.conv1"},
    "a:conv1": {"a.conv1"},
    "layer*": {"a.layer1", "a.layer2"},
    "layer?": {"a.layer1", "a.layer2"},
    "layer[13]": {"a.layer1"},
    "layer1.*": {"a.layer1", "a.layer1.0"},  # layer1.1 is another name of layer1
    "layer1.0": {"a.layer1.0"},
    "*.relu": set(),
    "**.relu": {"a.layer1", "a.layer1.0"},
    "b:features.1?": {"b.features.12"},
    "b:features.*": {"b.features.12", "b.features.1"},
    "*:conv*": {"a.conv1", "b.conv1"},
    "**": SOURCES,
    "a:**": {"a.conv1", "a.layer1", "a.layer1.0", "a.layer2", "a.fc"},
    "depth:0.3..0.6": {"a.layer1", "a.layer2"},
    "depth:0..1": SOURCES,
    "depth:.65..1": {"a.fc", "b.features.12"},
    "kind:block": {"a.layer1", "a.layer1.0", "a.layer2", "b.features.12"},
    "kind:logits": {"a.fc"},
    "a:** & kind:block": {"a.layer1", "a.layer1.0", "a.layer2"},
    "kind:block & depth:0.5..1": {"a.layer2", "b.features.12"},
    "conv1, fc": {"a.conv1", "b.conv1", "a.fc"},
    "layer*, !layer2": {"a.layer1"},
    "!layer2, layer*": {"a.layer1", "a.layer2"},  # the last word counts
    "!a:**": {"b.conv1", "b.features.12", "b.features.1"},
    "kind:block, !a:** & depth:0..0.25": {"a.layer1", "a.layer2", "b.features.12"},
    "heads": {"heads.label", "heads.aux"},
    "heads:label": {"heads.label"},
    "heads, !heads:aux": {"heads.label"},
    "adapters": {"adapters.w"},
    "joins": {"joins.w"},
    "adapters:a:layer1->*": {"adapters.w"},
    "nothing": set(),
}
COVERS = {
    "layer1": {"a.layer1", "a.layer1.0"},
    "a:layer*": {"a.layer1", "a.layer1.0", "a.layer2"},
    "layer1, !layer1.0": {"a.layer1"},
    "features": {"b.features.12", "b.features.1"},
    "heads:label": {"heads.label"},
    "features.1": {"b.features.1"},
}


@pytest.mark.parametrize(("text", "expected"), MATCHES.items())
def test_matches(text: str, expected: set[str]):
    selection = parse_selection(text)
    assert {name for name, place in PLACES.items() if selection.matches(place)} == expected
    assert str(selection) == text


@pytest.mark.parametrize(("text", "expected"), COVERS.items())
def test_covers_what_lies_below(text: str, expected: set[str]):
    selection = parse_selection(text)
    assert {name for name, place in PLACES.items() if selection.covers(place)} == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "selects nothing"),
        ("layer1,,layer2", "selects nothing"),
        ("layer1 &", "selects nothing"),
        ("!", "selects nothing"),
        ("a:", "names a source and nothing in it"),
        ("depth:0.3", "a range of shares"),
        ("depth:low..high", "a range of shares"),
        ("depth:-1..0", "a range of shares"),
        ("kind:blok", "did you mean block?"),
        ("kind:", 'no kind of tap called ""'),
    ],
)
def test_refuses_with_the_part_it_cannot_read(text: str, words: str):
    with pytest.raises(UsageError) as caught:
        parse_selection(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["layer[z-a]", "layer[\\]"])
def test_refuses_character_ranges_that_mean_nothing(text: str):
    with pytest.raises(UsageError):
        parse_selection(text).matches(PLACES["a.layer1"])


def test_characters_of_regular_expressions_mean_themselves():
    place = Place("a", ("x.y+(1)",))
    assert parse_selection("x.y+(1)").matches(place)
    assert not parse_selection("x.y").matches(Place("a", ("xzy",)))


def test_real_taps_are_selected_by_every_name():
    places = tap_places(opened("cifar_resnet20").survey(32).taps, "a")
    blocks = parse_selection("a:layer? & kind:block")
    found = [name for name, place in places.items() if blocks.matches(place)]
    assert found == ["layer1", "layer2", "layer3"]
    by_alias = parse_selection("layer1.2.relu_1")
    assert [name for name, place in places.items() if by_alias.matches(place)] == ["layer1"]
