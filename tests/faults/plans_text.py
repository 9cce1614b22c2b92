"""Broken plans, policies, studies and label maps: told with line and column, in bounded time.

Whatever is read comes back as itself: `parse_plan(str(plan)) == plan`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from campaign import Campaign, Trial
from drawn_settings import label_map_data, plan_data, policy_data, study_data
from plan_bombs import TEXT_BOMBS, YAML_BOMBS
from watched import Bounds, watched
from wild_text import Rng, damaged, dumped, with_wild_values

from convgraft.data import open_images
from convgraft.data.label_map import read_label_map
from convgraft.errors import PlanError, UsageError
from convgraft.plan import Plan, parse_plan, plan_from_yaml, plan_to_yaml, read_plan
from convgraft.studies.study_file import read_study
from convgraft.training import read_policy

FILE = "said.yaml"
RAN = "ran"  # the folder that a tag would make, if it were executed
BOUNDS = Bounds(seconds=60, bytes=2**29)
SECONDS = 20.0  # of processor time, for the largest file that is read at all
LONGEST = 300_000  # characters of a message
PLACE = re.compile(r"said\.yaml:\d+:\d+")
LINE = re.compile(r"the plan(:\d+)?(: plan(:\d+)?)*")
WHOLE_FILE = ("too large", "cannot be read")  # what has no place in the file
ESCAPES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Form:
    """Something that people write as text.

    Attributes:
        name: of it.
        draw: data that can be read.
        read: what reads a file of it.
    """

    name: str
    draw: Callable[[Rng], Any]
    read: Callable[[Path], Any]


def _read_label_map(path: Path) -> Any:
    return read_label_map(path, open_images("digits"))


PLAN = Form("plan", plan_data, read_plan)
SETTINGS = (
    Form("policy", policy_data, lambda path: read_policy(str(path))),
    Form("study", study_data, read_study),
    Form("label map", label_map_data, _read_label_map),
)


def try_plans(seed: int, count: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """Plans: first the bombs, then drawn ones, whole and broken in seven ways."""
    return watched(partial(_one_plan, seed, folder), first, count, folder, BOUNDS)


def try_settings(seed: int, count: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """Policies, studies and label maps in turn: the bombs, and what was broken."""
    return watched(partial(_one_setting, seed, folder), first, count, folder, BOUNDS)


def _one_plan(seed: int, folder: Path, number: int) -> Trial:
    bombs = [*YAML_BOMBS.items()]
    texts = [*TEXT_BOMBS.items()]
    rng = np.random.default_rng([seed, number])
    # every other trial is a bomb until there is none left
    bomb, kind = number // 2, number % 8
    if number % 2 and bomb < len(bombs):
        return Trial(bombs[bomb][0], _wrong(PLAN, _bytes(bombs[bomb][1]), folder))
    if number % 2 and bomb < len(bombs) + len(texts):
        name, text = texts[bomb - len(bombs)]
        return Trial(f"text: {name}", _wrong_text("image 3\n" + text))
    what = f"plan {number} of seed {seed}"
    if kind == 0:
        return Trial(f"{what}, whole", _wrong_whole(plan_data(rng), folder))
    if kind in (1, 2, 3):
        return Trial(f"{what}, wild values", _wrong(PLAN, _wild(rng, PLAN), folder))
    if kind in (4, 5):
        return Trial(f"{what}, damaged", _wrong(PLAN, _damaged(rng, PLAN), folder))
    if kind == 6:
        noise = rng.bytes(int(rng.integers(200)))
        return Trial(f"{what}, noise", _wrong(PLAN, noise, folder))
    whole = plan_from_yaml(dumped(rng, plan_data(rng)).decode())
    text = damaged(rng, str(whole).encode()).decode(errors="replace")
    return Trial(f"{what}, text form damaged", _wrong_text(text))


def _one_setting(seed: int, folder: Path, number: int) -> Trial:
    form, turn = SETTINGS[number % len(SETTINGS)], number // len(SETTINGS)
    bombs = [*YAML_BOMBS.items()]
    rng = np.random.default_rng([seed, number])
    if turn % 2 and turn // 2 < len(bombs):
        name, text = bombs[turn // 2]
        return Trial(f"{form.name}: {name}", _wrong(form, _bytes(text), folder))
    what = f"{form.name} {number} of seed {seed}"
    if turn % 8 == 0:
        (folder / FILE).write_bytes(dumped(rng, form.draw(rng)))
        try:
            form.read(folder / FILE)
        except UsageError as error:
            return Trial(f"{what}, whole", f"it was refused: {error}")
        return Trial(f"{what}, whole")
    make = _wild if turn % 8 < 5 else _damaged
    return Trial(f"{what}, broken", _wrong(form, make(rng, form), folder))


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _wild(rng: Rng, form: Form) -> bytes:
    return dumped(rng, with_wild_values(rng, form.draw(rng)))


def _damaged(rng: Rng, form: Form) -> bytes:
    return damaged(rng, dumped(rng, form.draw(rng)))


def _wrong(form: Form, data: bytes, folder: Path) -> str:
    """What is wrong with how a file is read; empty where nothing is."""
    path, began = folder / FILE, time.process_time()
    path.write_bytes(data)
    try:
        read = form.read(path)
        fault = _not_itself(read) if isinstance(read, Plan) else ""
    except UsageError as error:
        fault = _unclear(error, PLACE)
    if Path(RAN).exists() or (folder / RAN).exists():
        return "a tag was executed"
    seconds = time.process_time() - began
    return fault or (f"it took {seconds:.1f} s" if seconds > SECONDS else "")


def _wrong_text(text: str) -> str:
    """What is wrong with how the text form of a plan is read."""
    began = time.process_time()
    try:
        fault = _not_itself(parse_plan(text))
    except UsageError as error:
        fault = _unclear(error, LINE)
    seconds = time.process_time() - began
    return fault or (f"it took {seconds:.1f} s" if seconds > SECONDS else "")


def _wrong_whole(data: Any, folder: Path) -> str:
    (folder / FILE).write_bytes(dumped(np.random.default_rng(0), data))
    try:
        return _not_itself(read_plan(folder / FILE))
    except UsageError as error:
        return f"it was refused: {error}"


def _not_itself(plan: Plan) -> str:
    """What of a plan does not come back from its two forms."""
    try:
        text, yaml = parse_plan(str(plan)), plan_from_yaml(plan_to_yaml(plan))
    except PlanError as error:
        return f"its own form is refused: {plan!r}: {error}"
    if not text == yaml == plan or text.hash != plan.hash:
        return f"it comes back as another one: {plan!r}"
    return ""


def _unclear(error: UsageError, place: re.Pattern[str]) -> str:
    """What an error lacks: a place for each problem, and words that fit on a screen."""
    told = str(error)
    if len(told) > LONGEST:
        return f"the message has {len(told)} characters"
    if found := ESCAPES.search(told):
        return f"the message holds {found[0]!a}"
    if not isinstance(error, PlanError):
        byte = "byte" in told and "line" in told
        return "" if byte or any(words in told for words in WHOLE_FILE) else f"no place: {told}"
    for problem in error.problems:
        if not place.fullmatch(problem.where) and not any(w in problem.what for w in WHOLE_FILE):
            return f"no place: {told[:1000]}"
    return ""


CAMPAIGNS = (
    Campaign(
        4, "broken-plans", "a broken plan is told with its line; what is read comes back as itself",
        240, 2000, try_plans,
    ),
    Campaign(
        4, "broken-settings", "broken policies, studies, label maps are told with line and column",
        240, 1500, try_settings,
    ),
)  # fmt: skip
