"""All campaigns, by the modules that hold them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from campaign import Campaign

MODULES = (
    *("kill", "machine", "pictures", "tables", "plans_text", "artifacts", "wrong_numbers"),
    *("same_again", "random_plans", "long_run", "supply"),
)
TESTS = Path(__file__).parents[1]
# what other tests have written already is used from there
FOLDERS = (TESTS.parent, TESTS, TESTS / "offline", TESTS / "cli", TESTS / "studies")


def reach_helpers() -> None:
    """Let campaigns import the helpers of other tests by plain names."""
    sys.path += [str(folder) for folder in FOLDERS if str(folder) not in sys.path]


def all_campaigns(modules: Sequence[str] = MODULES) -> tuple[Campaign, ...]:
    """The campaigns of these modules, by the number of their promise."""
    reach_helpers()
    found: list[Campaign] = []
    for name in modules:
        found += importlib.import_module(name).CAMPAIGNS
    names = [campaign.name for campaign in found]
    assert len(set(names)) == len(names), f"two campaigns with one name: {sorted(names)}"
    return tuple(sorted(found, key=lambda campaign: campaign.number))
