"""The steps of `convgraft match`: open, choose taps, look at the images, pair, predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from convgraft.cli.fit_steps import open_models
from convgraft.cli.match_pixels import match_pixels
from convgraft.cli.opening import opened
from convgraft.cli.own_classes import own_labels
from convgraft.data import BrokenImage, ImageSet, open_images, split_images
from convgraft.errors import UsageError
from convgraft.match import Matching, match_taps
from convgraft.match.likeness import Pairing, may_pair, pair_by_likeness
from convgraft.match.matching import LEAST_IMAGES, Share
from convgraft.match.stitches import stitches_to_try
from convgraft.sources import Tap
from convgraft.strategies import Ingredients, StrategyOptions
from convgraft.studies.stitch_prediction import StitchPrediction, StitchPredictor
from convgraft.training.process_group import current_group

TRIED = 4  # stitches run for each that is asked for
FEW_IMAGES = 100  # held out; below this chance decides which stitch is the best
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Asked:
    """What the user asked for."""

    networks: tuple[str, ...]
    data: str
    limit: int
    image_size: int | None
    target: str | None
    taps: str
    stitches: int
    positions: int | None
    many_to_one: bool
    cost: float
    seed: int


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is opened before an image is decoded.

    Attributes:
        chosen: the training images to look at, as indices.
        taps: of each network.
    """

    asked: Asked
    images: ImageSet
    chosen: tuple[int, ...]
    given: Ingredients
    taps: tuple[tuple[Tap, ...], tuple[Tap, ...]]


@dataclass(frozen=True, eq=False)
class Found:
    """Everything that came out.

    Attributes:
        stitches: all that were run, best first.
        broken: images that could not be decoded.
    """

    inputs: Inputs
    matching: Matching
    pairs: tuple[Pairing, ...]
    stitches: tuple[StitchPrediction, ...]
    broken: tuple[BrokenImage, ...]

    @property
    def judged(self) -> int:
        """Held-out images with a label, which stitches are compared on."""
        return self.stitches[0].images if self.stitches else 0

    @property
    def is_chosen_by_few(self) -> bool:
        """Whether the best stitch is the best of several on so few images that luck chose it."""
        return len(self.stitches) > 1 and self.judged < FEW_IMAGES


def read_positions(text: str) -> int | None:
    """A number of positions, or None for `all`; raises UsageError for anything else."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(
            "positions are a number or all", expected="e.g. --positions 16, or all", found=text
        )
    return int(text)


def open_inputs(asked: Asked) -> Inputs:
    """Networks, images and taps; raises UsageError for what does not go together."""
    if len(asked.networks) != 2:
        raise UsageError(
            "two networks are matched with each other",
            expected="convgraft match A B --data DATA",
            found=f"{len(asked.networks)}: {', '.join(asked.networks)}",
            hint="the same network twice, to match it with itself"
            if len(asked.networks) == 1
            else "one pair of networks after the other",
        )
    target = [asked.target] if asked.target else None
    images = opened(lambda told: open_images(asked.data, target=target, on_progress=told))
    chosen = _training_images(images, asked)
    given = open_models(asked.networks, asked.image_size, images, asked.seed)
    given = replace(given, options=StrategyOptions(taps=asked.taps))
    left, right = (_taps(given, name) for name in given.sources)
    by_choice = bool(asked.taps)
    if not any(may_pair(one, other, one_position=by_choice) for one in left for other in right):
        raise UsageError(
            "no tap of one network is near any of the other",
            expected="maps of more than one position, whose sides differ by a factor of 4 at most",
            found=f"{_shapes(left)}; and {_shapes(right)}",
            hint="a larger --image-size, or other --taps (see convgraft taps)",
        )
    return Inputs(asked, images, chosen, given, (left, right))


def _training_images(images: ImageSet, asked: Asked) -> tuple[int, ...]:
    """At most as many as were asked for; never validation or test images."""
    split = split_images(images, seed=asked.seed)
    is_limited = len(split.train) > asked.limit
    found = min(len(split.train), asked.limit)
    least = max(LEAST_IMAGES, len(images.classes) if is_limited else 0)
    each = ", one for each class" if least > LEAST_IMAGES else ""
    if found < least:
        raise UsageError(
            f"too few training images of {images.location} to match layers on",
            expected=f"{least} at least{each}, some thousand for good",
            found=str(found),
            hint="a higher --limit" if is_limited else "more images",
        )
    if is_limited:
        split = split_images(images, seed=asked.seed, limit=asked.limit)
    return split.train


def _taps(given: Ingredients, name: str) -> tuple[Tap, ...]:
    """Every block, or activation where blocks are few, that is a map; or what was selected."""
    survey = given.surveys[name]
    taps = tuple(survey.tap(ref.tap) for ref in given.side_taps(name))
    chosen = taps if given.options.taps else tuple(tap for tap in taps if tap.is_map)
    if chosen:
        return chosen
    spec = given.sources[name].spec
    if given.options.taps:
        what = f'"{given.options.taps}" selects no tap of {spec} (source "{name}")'
    else:
        what = f'{spec} (source "{name}") has no block or activation that is a map'
    raise UsageError(what, hint=f"convgraft taps {spec}")


def _shapes(taps: tuple[Tap, ...]) -> str:
    shapes = dict.fromkeys("x".join(map(str, tap.shape)) for tap in taps)
    return ", ".join(list(shapes)[:6])


def find(inputs: Inputs, report: Report) -> Found | None:
    """One pass over the images, the pairs, and what the best stitches are predicted to cost.

    Of several ranks each decodes and goes through its share; what comes after is for rank zero
    alone, and the others get None.
    """
    group = current_group()
    asked, given = inputs.asked, inputs.given
    pixels = match_pixels(
        inputs.images,
        given.image_size,
        inputs.chosen,
        group,
        lambda done, total: report("read images", done, total),
    )
    (first, left), (second, right) = given.sources.items()
    matching = match_taps(
        left,
        right,
        pixels.images,
        *inputs.taps,
        image_size=given.image_size,
        positions=asked.positions,
        seed=asked.seed,
        on_progress=lambda done, total: report("match", done, total),
        share=Share(group.rank, group.world, group.total),
    )
    if not group.is_first:
        return None
    by_choice = bool(asked.taps)
    pairs = pair_by_likeness(
        matching,
        cost=asked.cost,
        many_to_one=asked.many_to_one,
        one_position=by_choice,
        names=(first, second),
    )
    knows = {name: _knows(given, name, inputs.images) for name in given.sources}
    predictor = StitchPredictor(matching, given, pixels.images, pixels.labels, knows)
    chosen = stitches_to_try(matching, pairs, TRIED * asked.stitches, one_position=by_choice)
    stitches: list[StitchPrediction] = []
    for number, stitch in enumerate(chosen):
        stitches.append(predictor.predict(stitch))
        report("stitch", number + 1, len(chosen))
    stitches.sort(key=lambda one: -one.points)
    return Found(inputs, matching, tuple(pairs), tuple(stitches), pixels.broken)


def _knows(given: Ingredients, name: str, images: ImageSet) -> bool:
    """Whether a network's own classes are the data's, as far as anybody can tell."""
    one = given.sources[name]
    named = own_labels(one)
    alike = not named or tuple(named) == tuple(images.classes)
    return one.classes == given.classes and alike and not one.absent
