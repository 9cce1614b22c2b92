"""Text that nobody should have to read: values of wrong kinds, and damage to a text's bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import yaml

Rng = np.random.Generator

WILD: tuple[Any, ...] = (
    *(None, True, False, "", " ", "~", "null", "yes", "x", "a b", "a:b", "a: b", "::", "a:", ":b"),
    *(-1, 0, 1, 7, 2**31, 2**63, 2**64, 10**30, 10**400, -0.0, 1.5, 1e-320, 1e308, 1e400),
    *(float("nan"), float("inf"), "nan", ".nan", "-inf", "1e999", "0x10", "1_000", "١٢", "½"),
    *([], {}, [[]], [None], [[1, 2], [3]], {"a": {"b": []}}, {"": 1}, {"x": None}, ["a:b", 3]),
    *("*x", "&y z", "!!int 3", "!x", "%", "@x", "`x`", "{", "]", "- a", "? a", "#", "'", '"'),
    *("\x1b[2J", "a\nb", "a\tb", "\x07", "\x7f", "\x85", "\u2028", "\ufeff", "\u202e", "é" * 40),
    *("x" * 5000, "../../etc/passwd", "/dev/zero", "/proc/self/environ", "digits", "python:os:x"),
    *("a,b", "a(b", "a)b", "a->b", "a=b", "a=b c=d", "heads:x", "a:b, c:d", "\\", "a\\b", "a\\"),
)

TOKENS = (
    *(b"\t", b": ", b"- ", b"{", b"}", b"[", b"]", b", ", b"&a ", b"*a", b"<<: ", b"'", b'"', b"|"),
    *(b"> \n", b"%YAML 9.9\n", b"---\n", b"...\n", b"? ", b"# ", b"\0", b"\xef\xbb\xbf", b"\xff"),
    *(b"\xc2\x85", b"\xe2\x80\xa8", b"\r", b"\n", b"\n  ", b"!!binary ", b"! ", b"!<x> ", b"\\"),
    *(b"!!python/object/apply:os.mkdir [ran]", b"!!python/name:os.system", b"1e999", b"-", b"~"),
)


def pick(rng: Rng, items: Any) -> Any:
    """One of the items."""
    return items[int(rng.integers(len(items)))]


def dumped(rng: Rng, data: Any) -> bytes:
    """Data as YAML, in blocks or on one line."""
    return yaml.safe_dump(
        data, sort_keys=False, allow_unicode=bool(rng.random() < 0.5),
        default_flow_style=pick(rng, (True, False, None)),
    ).encode()  # fmt: skip


def with_wild_values(rng: Rng, data: Any, most: int = 3) -> Any:
    """The same with some values anywhere replaced, left out, renamed or doubled."""
    for _ in range(int(rng.integers(1, most + 1))):
        data = _changed(rng, data)
    return data


def _changed(rng: Rng, data: Any) -> Any:
    if not isinstance(data, (dict, list)) or not data or rng.random() < 0.15:
        return pick(rng, (pick(rng, WILD), [data], {"x": data}, str(data)))
    keys = list(data) if isinstance(data, dict) else list(range(len(data)))
    key, chance = pick(rng, keys), rng.random()
    if isinstance(data, list):
        if chance < 0.2:
            return [*data[:key], *data[key + 1 :]]
        return [*data[:key], _changed(rng, data[key]), *data[key + 1 :]]
    if chance < 0.1:
        return {name: value for name, value in data.items() if name != key}
    if chance < 0.2:
        renamed = pick(rng, [str(one) for one in WILD])
        return {renamed if name == key else name: value for name, value in data.items()}
    return {name: _changed(rng, value) if name == key else value for name, value in data.items()}


def damaged(rng: Rng, data: bytes, most: int = 6) -> bytes:
    """Bytes with some of them flipped, cut, moved, doubled, or with others put between."""
    for _ in range(int(rng.integers(1, most + 1))):
        data = pick(rng, DAMAGES)(rng, data or b"x")
    return data


def _span(rng: Rng, data: bytes) -> tuple[int, int]:
    first = int(rng.integers(len(data)))
    return first, min(len(data), first + int(rng.integers(1, 1 + max(1, len(data) // 4))))


def _flipped(rng: Rng, data: bytes) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(len(data), size=int(rng.integers(1, 5))):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(rng: Rng, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data)))]


def _without(rng: Rng, data: bytes) -> bytes:
    first, end = _span(rng, data)
    return data[:first] + data[end:]


def _doubled(rng: Rng, data: bytes) -> bytes:
    first, end = _span(rng, data)
    return data[:end] + data[first:end] + data[end:]


def _with_noise(rng: Rng, data: bytes) -> bytes:
    place = int(rng.integers(len(data)))
    return data[:place] + rng.bytes(int(rng.integers(1, 40))) + data[place:]


def _with_token(rng: Rng, data: bytes) -> bytes:
    place = int(rng.integers(len(data) + 1))
    return data[:place] + pick(rng, TOKENS) + data[place:]


def _swapped(rng: Rng, data: bytes) -> bytes:
    lines = data.split(b"\n")
    one, other = (int(place) for place in rng.integers(len(lines), size=2))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


DAMAGES: tuple[Callable[[Rng, bytes], bytes], ...] = (
    *(_flipped, _cut, _without, _doubled, _with_noise, _with_token, _with_token, _swapped),
)
