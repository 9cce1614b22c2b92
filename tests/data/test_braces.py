"""Brace patterns: what a shell makes of them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from convgraft.data.braces import expanded, has_braces
from convgraft.errors import DataError


@pytest.mark.parametrize(
    "pattern",
    ["a-{000..012}.tar", "{train,val}-{0..2}.tar", "x{9..11}", "plain.tar", "{a,b}{c,d}{1..2}"],
)
def test_names_are_those_of_bash(pattern: str) -> None:
    if not (bash := shutil.which("bash")):
        pytest.skip("no bash")
    told = subprocess.run([bash, "-c", f"echo {pattern}"], capture_output=True, text=True)
    assert expanded(pattern) == tuple(told.stdout.split())


def test_only_patterns_are_patterns() -> None:
    assert has_braces("a-{0..3}.tar") and has_braces("{a,b}")
    assert not any(map(has_braces, ("a{b}.tar", "{}", "a..b", "{0..x}")))


@pytest.mark.parametrize(
    "pattern", ["{0..1000000}", "{0..999}{0..999}{0..9}", "{5..2}", "{0..99999999999999999999}"]
)
def test_too_many_names_are_refused_at_once(pattern: str) -> None:
    with pytest.raises(DataError, match="cannot be used"):
        expanded(pattern)
