"""The site is built without a warning, asks nobody for anything, and reads well on a phone."""

from __future__ import annotations

import functools
import http.server
import logging
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers_docs import REPO

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow
PHONE = 390
LOADED = re.compile(r"<(?:script|img|iframe)[^>]*\bsrc=\"?(\S+)|<link[^>]*\bhref=\"?(\S+)")
PARTS = ("Start", "Questions", "Concepts", "How to", "Reference", "Decisions", "Reliability")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning is an error, as in `make docs`."""
    pytest.importorskip("material", reason="mkdocs-material is not installed: the extra docs")
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # a word about another version of mkdocs
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(REPO / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The site on this machine, at a port that is free."""
    handler = functools.partial(Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def pages(site: Path) -> list[str]:
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))


def test_every_part_is_in_the_navigation(site: Path) -> None:
    start = (site / "index.html").read_text()
    for part in (*PARTS, "Scale", "Compared with others"):
        assert part in start


def test_a_picture_leads_to_itself(site: Path) -> None:
    for page, least in (("concepts.html", 8), ("index.html", 1), ("questions/ship.html", 1)):
        text = (site / page).read_text()
        shown = re.findall(r'<img [^>]*src="([^"]+)"', text)
        assert len(shown) >= least
        for picture in shown:
            assert f'<a class="picture" href="{picture}"><img ' in text, picture
            assert (site / page).parent.joinpath(picture).exists(), picture


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in pages(site):
        for found in LOADED.findall((site / page).read_text()):
            target = "".join(found).strip('">')
            assert not target.startswith(("http:", "https:", "//")), (page, target)


def test_the_reference_shows_signatures_and_what_docstrings_say(site: Path) -> None:
    api = (site / "reference" / "api.html").read_text()
    for words in ("fold_adapters", "FitOptions", "side in pixels", "Raises"):
        assert words in api, words


@pytest.mark.timeout(1800)
def test_pages_fit_a_phone(site: Path, address: str, browser: Browser) -> None:
    tab = browser.new_page(viewport={"width": PHONE, "height": 844})
    tab.set_default_timeout(120_000)
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    wide = {}
    for page in pages(site):
        tab.goto(f"{address}/{page}", wait_until="load")
        width = tab.evaluate("document.documentElement.scrollWidth")
        if width > PHONE:
            wide[page] = (width, tab.evaluate(WIDEST, PHONE))
    assert wide == {}
    elsewhere = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert elsewhere == []
    tab.close()


# what sticks out, for the message of a failure
WIDEST = """(width) => [...document.querySelectorAll('article *')]
    .filter((one) => one.getBoundingClientRect().right > width && !one.closest('pre, table'))
    .slice(0, 3).map((one) => one.outerHTML.slice(0, 200))"""
