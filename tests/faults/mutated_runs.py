"""A small run folder, damaged at random: it loads as the network that it was, or not at all."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign import Trial
from hostile_runs import sign, write_run
from watched import Bounds, watched

from convgraft.errors import ConvgraftError
from convgraft.export import load
from convgraft.export.checksums import CHECKSUMS

FILES = ("model.safetensors", "plan.yaml", "labels.json", "metrics.json", CHECKSUMS)
HOSTILE = (
    b"-1", b"0", b"1000000000", b"1e999", b".nan", b"null", b"[]", b"{}", b"[[[[]]]]", b'""',
    b"python:os:getcwd", b"../..", b"/etc/passwd", b"!!python/name:os.system", b"*a", b"&a [*a]",
    b'"\\u001b[2J"', b'"\\ud800"', b"\x00", b"\xff\xfe", b"true", b"9" * 400, b"~", b": :",
)  # fmt: skip
Content = dict[str, bytes]
_VALUE = re.compile(rb'-?\d[\d.]*|[\w/.:-]+|"[^"]*"')


def mutation_trials(seed: int, count: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """One damaged run a trial; two whole ones are what they are made from."""
    wholes = [write_run(folder / f"whole{number}", number) for number in range(2)]
    contents = [{name: (run / name).read_bytes() for name in FILES} for run in wholes]
    known = {network_of(run) for run in wholes}

    def attempt(number: int) -> Trial:
        rng = random.Random(f"{seed} {number}")
        mutate = rng.choice(MUTATIONS)
        damaged = mutate(rng, dict(contents[0]), contents[1])
        return _tried(f"{mutate.__name__} of seed {seed}, number {number}", damaged, known, folder)

    yield from watched(attempt, first, count, folder, Bounds(seconds=60))


def network_of(run: Path) -> bytes:
    """All numbers of a run's network."""
    state = load(run).composite.state_dict()
    return b"".join(name.encode() + state[name].numpy().tobytes() for name in sorted(state))


def _tried(what: str, damaged: Content, known: set[bytes], folder: Path) -> Trial:
    run = folder / "damaged"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    for name, content in damaged.items():
        (run / name).write_bytes(content)
    if "signed" in what:
        try:
            sign(run)
        except (ConvgraftError, ValueError, RecursionError):
            return Trial(what)  # there is no plan to sign
    try:
        found = network_of(run)
    except ConvgraftError as error:
        return Trial(what, "" if error.exit_code == 2 else f"exit code {error.exit_code}")
    return Trial(what, "" if found in known else "another network was loaded")


def flips(rng: random.Random, run: Content, other: Content) -> Content:
    """A few bytes of one file become others."""
    name = rng.choice(FILES)
    content = bytearray(run[name])
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return {**run, name: bytes(content)}


def unlisted_flips(rng: random.Random, run: Content, other: Content) -> Content:
    """The same in all but the numbers, where no checksum tells it."""
    name = rng.choice(FILES[:4])
    content = bytearray(run[name])
    if name == FILES[0]:  # its header: other numbers would be another network, by nobody's fault
        end = 8 + int.from_bytes(content[:8], "little")
    else:
        end = len(content)
    content[rng.randrange(end)] = rng.randrange(256)
    return _without({**run, name: bytes(content)}, CHECKSUMS)


def cut(rng: random.Random, run: Content, other: Content) -> Content:
    """A file ends early."""
    name = rng.choice(FILES)
    return {**run, name: run[name][: rng.randrange(len(run[name]))]}


def longer(rng: random.Random, run: Content, other: Content) -> Content:
    """Something follows a file, or stands before it."""
    name = rng.choice(FILES)
    more = rng.choice((b"\x00" * 8, b"\n", b"{}", run[name], rng.choice(HOSTILE)))
    return {**run, name: run[name] + more if rng.random() < 0.5 else more + run[name]}


def zeroed(rng: random.Random, run: Content, other: Content) -> Content:
    """A block that the disk lost."""
    name = rng.choice(FILES)
    start = rng.randrange(len(run[name]))
    length = min(rng.randrange(1, 600), len(run[name]) - start)
    return {**run, name: run[name][:start] + bytes(length) + run[name][start + length :]}


def gone(rng: random.Random, run: Content, other: Content) -> Content:
    """A file is not there."""
    return _without(run, rng.choice(FILES))


def swapped(rng: random.Random, run: Content, other: Content) -> Content:
    """Files of another run; its numbers with its list, so that it is whole or told."""
    names = rng.sample(FILES, rng.randrange(1, len(FILES)))
    return {**run, **{name: other[name] for name in names}}


def replaced(rng: random.Random, run: Content, other: Content) -> Content:
    """A value of a text file becomes a hostile one; no checksum tells it."""
    name = rng.choice(FILES[1:4])
    values = list(_VALUE.finditer(run[name]))
    content = run[name]
    if values:
        value = rng.choice(values)
        content = content[: value.start()] + rng.choice(HOSTILE) + content[value.end() :]
    return _without({**run, name: content}, CHECKSUMS)


def signed_replaced(rng: random.Random, run: Content, other: Content) -> Content:
    """A hostile plan with the hash that belongs to it."""
    values = list(_VALUE.finditer(run["plan.yaml"]))
    value = rng.choice(values)
    content = run["plan.yaml"]
    content = content[: value.start()] + rng.choice(HOSTILE) + content[value.end() :]
    return {**run, "plan.yaml": content}


def _without(run: Content, name: str) -> Content:
    return {other: content for other, content in run.items() if other != name}


Mutation = Callable[[random.Random, Content, Content], Content]
MUTATIONS: tuple[Mutation, ...] = (
    flips, unlisted_flips, cut, longer, zeroed, gone, swapped, replaced, signed_replaced,
)  # fmt: skip
