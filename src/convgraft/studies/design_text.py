"""Designs as people write them: `cross-skip:start=one`, or keys and words from a study file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from convgraft.errors import UsageError, near_miss
from convgraft.strategies import LOSSES, STRATEGIES, StrategyOptions
from convgraft.studies.design import Design
from convgraft.training import PRESETS, read_policy

OWN_KEYS = ("name", "loss", "freeze", "learn_filters", "solved")  # of every strategy
FORM = "STRATEGY, or STRATEGY:KEY=VALUE,KEY=VALUE"
_FILE_NAME = re.compile(r"\w[\w.+-]*")
_NEXT_KEY = re.compile(r",(?=[\w-]+=)")  # a comma within a value stays
_DEFAULTS = StrategyOptions()


def read_design(text: str) -> Design:
    """The design that a text names; raises UsageError with near misses.

    >>> read_design("cross-skip:start=one").name
    'cross-skip-one'
    >>> read_design("ladder:head=mlp,hidden=256,64").options.hidden
    (256, 64)
    """
    strategy, colon, rest = text.partition(":")
    said: dict[str, str] = {}
    for part in _NEXT_KEY.split(rest) if colon else ():
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise UsageError(f'the arm "{text}" cannot be read', expected=FORM, found=part)
        said[key.replace("-", "_")] = value
    return design_of(strategy, said)


def design_of(strategy: str, said: Mapping[str, str]) -> Design:
    """The design of a strategy under the options that are said; raises UsageError.

    Args:
        said: by key, what stands there as text: the strategy's own options, and `name`, `loss`,
            `freeze`, `learn_filters` and `solved`.
    """
    check_keys(strategy, tuple(said))
    known = [field.name for field in fields(StrategyOptions)]
    options = {name: _option(name, said[name]) for name in known if name in said}
    name = said.get("name") or _name_of(strategy, said)
    if not _FILE_NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" is no name for an arm', expected="letters, digits, and . + - _ between them"
        )
    loss = said.get("loss", "")
    if loss and loss not in LOSSES:
        raise UsageError(
            f'there is no loss called "{loss}"',
            expected=", ".join(LOSSES),
            hint=near_miss(loss, LOSSES),
        )
    if freeze := said.get("freeze", ""):
        read_policy(freeze)
    return Design(
        strategy,
        StrategyOptions(**options),
        asked=tuple(options),
        freeze=freeze,
        loss=loss,
        learn_filters=_switch("learn_filters", said),
        solved=_switch("solved", said),
        name=name,
    )


def check_keys(strategy: str, keys: tuple[str, ...]) -> None:
    """Whether a strategy is known and reads all of these keys; raises UsageError."""
    if strategy not in STRATEGIES:
        raise UsageError(
            f'there is no strategy called "{strategy}"',
            expected=", ".join(STRATEGIES),
            hint=near_miss(strategy, STRATEGIES),
        )
    known = (*STRATEGIES[strategy].options, *OWN_KEYS)
    for key in keys:
        if key not in known:
            raise UsageError(
                f'{strategy} does not know "{key}"',
                expected=", ".join(known),
                hint=near_miss(key, known),
            )


def design_data(design: Design) -> str | dict[str, Any]:
    """A design as a study file has it; `design_of` reads it."""
    options = {
        field.name: getattr(design.options, field.name)
        for field in fields(StrategyOptions)
        if field.name in design.asked
        or getattr(design.options, field.name) != getattr(_DEFAULTS, field.name)
    }
    own = {key: value for key in OWN_KEYS if (value := getattr(design, key))}
    if own.get("name") == design.strategy:
        del own["name"]
    if not own and not options:
        return design.strategy
    return {"strategy": design.strategy, **own, **options}


def _name_of(strategy: str, said: Mapping[str, str]) -> str:
    """The strategy and what is said of it; presets and files of a policy by their last part."""
    words = [strategy]
    for key, value in said.items():
        is_switch = key in ("learn_filters", "solved")
        own = value if key != "freeze" or value in PRESETS else value.rpartition("/")[2]
        clean = re.sub(r"[^\w.+]+", "-", own).strip("-")
        words.append(key.replace("_", "-") if is_switch else clean)
    return "-".join(filter(None, words))


def _option(name: str, value: str) -> Any:
    """The value of an option in its type; raises UsageError."""
    kind = type(getattr(_DEFAULTS, name))
    try:
        if kind is tuple:
            return tuple(_width(part) for part in value.split(","))
        return kind(value)
    except ValueError as error:
        expected = "whole numbers, e.g. 256,64" if kind is tuple else "a number"
        raise UsageError(f"{name} cannot be read", expected=expected, found=value) from error


def _width(text: str) -> int:
    width = int(text)
    if width < 1:
        raise ValueError(text)
    return width


def _switch(key: str, said: Mapping[str, str]) -> bool:
    value = said.get(key, "false").lower()
    if value not in ("true", "false"):
        raise UsageError(f"{key} cannot be read", expected="true or false", found=value)
    return value == "true"
