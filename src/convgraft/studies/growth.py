"""Studies to which arms are added: what is there stays as it is, what is new comes beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convgraft.durable.holding import hold
from convgraft.durable.lines import differing, plain_config, read_config, write_config
from convgraft.errors import ArtifactError
from convgraft.studies.equal_cost import EQUAL_COST
from convgraft.studies.store import CONFIG, StudyStore

ARMS = "arms"


def claim_growing(folder: Path, config: Mapping[str, Any]) -> StudyStore:
    """Take a folder for a study, or go on with what lies there, with more arms than it had.

    Args:
        config: as of `StudyStore.claim`; under `arms`, what makes each arm that arm, by name.

    Raises ArtifactError as `StudyStore.claim` does, and where an arm is another one now.
    """
    path = folder / CONFIG
    if not path.is_file():
        return StudyStore.claim(folder, config)
    holding = hold(folder)
    there, now = _read(path), plain_config(config)
    if differing({**there, ARMS: 0}, {**now, ARMS: 0}):
        return StudyStore.claim(folder, config)  # which says what differs
    _check_arms(folder, there[ARMS], now[ARMS])
    grown = {**now, ARMS: {**there[ARMS], **now[ARMS]}}
    if grown != there:
        write_config(path, grown)
    store = StudyStore.claim(folder, grown)
    del holding  # the store's now
    return store


def _read(path: Path) -> dict[str, Any]:
    """The configuration of a study; raises ArtifactError where it cannot be read."""
    found = read_config(path)
    if not isinstance(found.get(ARMS), dict):
        raise ArtifactError(f'"{path}" cannot be read', expected="what a study writes there")
    return found


def _check_arms(folder: Path, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [name for name in there if name in now and there[name] != now[name]]
    if not changed:
        return
    dearer = all(name.startswith(EQUAL_COST) for name in changed)
    raise ArtifactError(
        f'the arm {changed[0]} in "{folder}" would be another one now',
        expected="arms as they were, and new ones under other names",
        found="a join that costs more than all before"
        if dearer
        else "another plan, loss or policy",
        hint=f"--baselines without {EQUAL_COST}, or another --out"
        if dearer
        else "another name for it (name=...), or another --out",
    )
