"""Every campaign's small slice; `make torture` runs them at full size."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from campaign import Campaign
from campaigns import all_campaigns

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
SLOW = {1, 2, 6, 7, 8, 9}  # promises whose cases are whole fits, or many networks


def _marked(campaign: Campaign) -> Any:
    marks = [pytest.mark.slow] if campaign.number in SLOW else []
    return pytest.param(campaign, id=campaign.name, marks=marks)


@pytest.mark.parametrize("campaign", [_marked(campaign) for campaign in all_campaigns()])
def test_a_slice_of_each_campaign_finds_nothing(campaign: Campaign, tmp_path: Path) -> None:
    if campaign.number == 9 and sys.platform != "linux":
        pytest.skip("memory and handles are read from /proc")
    tried = list(campaign.trials(0, campaign.small, tmp_path))
    assert [trial for trial in tried if trial.wrong] == []
    assert len(tried) == campaign.small


def test_the_page_names_every_campaign() -> None:
    told = PAGE.read_text()
    assert [one.name for one in all_campaigns() if f"`{one.name}`" not in told] == []
