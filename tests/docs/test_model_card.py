"""The page on model cards names every field that a card of a real run has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from helpers_docs import DOCS

from convgraft.cli.main import main

PAGE = (DOCS / "model-card.md").read_text()
FIELD = re.compile(r"^\* ([a-z0-9 ]+): ", re.MULTILINE)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a push of a small run would send."""
    folder = tmp_path_factory.mktemp("card")
    run, hub = str(folder / "run"), str(folder / "hub")
    fit = "fit digits --models cifar_resnet20 --strategy probe --image-size 8 --limit 20 --epochs 1"
    push = "ann/digits --license mit --dataset ann/images --dry-run"
    for words in ([*fit.split(), "--out", run], ["push", run, *push.split(), "--out", hub]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert not ended.value.code
    return folder


def test_every_section_and_setting_is_on_the_page(sent: Path) -> None:
    card = (sent / "run" / "card.md").read_text()
    for section in re.findall(r"^## (.+)$", card, re.MULTILINE):
        assert f"\n| {section} |" in PAGE, section
    settings = FIELD.findall(card)
    assert {"strategy", "loss", "epochs", "fingerprint", "test images"} <= set(settings)
    for setting in settings:
        assert f"`{setting}`" in PAGE, setting


def test_sections_on_the_page_are_on_the_card(sent: Path) -> None:
    (table,) = re.findall(r"## The template\n(.*?)\n## ", PAGE, re.DOTALL)
    card = (sent / "run" / "card.md").read_text()
    rows = re.findall(r"^\| ([A-Z][\w ]+) \|", table, re.MULTILINE)
    assert len(rows) > 5
    assert all(f"\n## {row}\n" in card for row in rows)


def test_all_metadata_is_on_the_page(sent: Path) -> None:
    _, head, body = (sent / "hub" / "README.md").read_text().split("---\n", 2)
    metadata = yaml.safe_load(head)
    assert isinstance(metadata, Mapping) and metadata["license"] == "mit"
    for field in metadata:
        assert f"`{field}`" in PAGE, field
    assert "## Limits" in body
