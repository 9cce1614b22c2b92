"""A run's folder where several processes make the run: rank zero has it, the others know of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convgraft.cli.run_folder import RunFolder, claim
from convgraft.errors import UsageError
from convgraft.training.process_group import current_group


def claim_for_all(path: Path, config: Mapping[str, Any], *, overwrite: bool = False) -> RunFolder:
    """As `claim`, by the one process there is, or by rank zero for all.

    Raises UsageError where ranks would not do the same work.
    """
    group = current_group()
    if group.world == 1:
        return claim(path, config, overwrite=overwrite)
    _check_alike(config)
    claimed = group.each(
        lambda: claim(path, config, overwrite=overwrite) if group.is_first else None
    )
    resumed = group.from_first(claimed is not None and claimed.resumed)
    return claimed or RunFolder(path, resumed=resumed, is_ours=False)


def _check_alike(config: Mapping[str, Any]) -> None:
    """Whether all ranks see the same images, networks and options."""
    told = current_group().gather({name: _digest(value) for name, value in config.items()})
    for rank, own in enumerate(told):
        others = sorted(name for name in own if own[name] != told[0].get(name))
        if others:
            raise UsageError(
                f"rank {rank} would not do the same work as rank 0",
                expected="the same files and options for all of them",
                found=f"other values of {', '.join(others)}",
                hint="copies of the images and weights that are the same on every machine",
            )


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
