"""The report's page in a real browser: Debian's chromium, driven by playwright."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from convgraft.report.page import html_page
from convgraft.report.page_data import Page

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

pytestmark = pytest.mark.slow
HEIGHT = 900
WIDTHS = (390, 768, 1440)


@pytest.fixture(scope="module")
def address(full_page: Page, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html_page(full_page), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def study_address(study_report: Page, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "study.html"
    path.write_text(html_page(study_report), encoding="utf-8")
    return path.as_uri()


def opened(browser: Browser, address: str, width: int, **more: Any) -> tuple[Tab, list[str]]:
    """The page at a width, and everything that went wrong: errors, and requests elsewhere."""
    tab = browser.new_page(viewport={"width": width, "height": HEIGHT}, **more)
    tab.set_default_timeout(60_000)
    wrong: list[str] = []
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
    tab.on("request", lambda asked: wrong.append(asked.url) if _is_elsewhere(asked.url) else None)
    tab.goto(address)
    return tab, wrong


def _is_elsewhere(url: str) -> bool:
    return not url.startswith(("file:", "data:"))


def until(tab: Tab, condition: Callable[[], bool]) -> None:
    """Wait for what the browser does a little later; the page's policy allows no eval to do so."""
    for _ in range(1200):  # a minute, for a busy machine
        if condition():
            return
        tab.wait_for_timeout(50)
    raise AssertionError("it did not come")


def tip_of(tab: Tab) -> str:
    tip = tab.locator(".tip")
    assert tip.is_visible()
    box, room = tip.bounding_box(), tab.locator("[data-map]").bounding_box()
    assert box and room
    assert room["x"] <= box["x"] and box["x"] + box["width"] <= room["x"] + room["width"]
    return tip.inner_text()


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_goes_wrong_and_nothing_overflows(
    browser: Browser, address: str, width: int
) -> None:
    tab, wrong = opened(browser, address, width)
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelectorAll('script').length") == 1
    assert wrong == []
    tab.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_wires_tell_their_facts_on_hover_and_on_focus(
    browser: Browser, address: str, width: int
) -> None:
    tab, wrong = opened(browser, address, width)
    assert not tab.locator(".tip").is_visible()
    tab.locator("[data-map]").scroll_into_view_if_needed()
    tab.locator(".wire text").first.hover()
    hovered = tip_of(tab)
    assert all(word in hovered for word in ("adapter", "gate", "MACs", "shapes", "→"))
    tab.mouse.move(0, 0)
    assert not tab.locator(".tip").is_visible()
    tab.locator("[data-zoom=all]").focus()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.classList.contains('wire')")
    first = tip_of(tab)
    tab.keyboard.press("Tab")
    assert tip_of(tab) != first
    tab.keyboard.press("Escape")
    assert not tab.locator(".tip").is_visible()
    assert wrong == []
    tab.close()


def test_every_wire_can_be_reached_by_tab_alone(browser: Browser, address: str) -> None:
    tab, _ = opened(browser, address, 1440)
    count = tab.locator(".wire").count()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(200):
        tab.keyboard.press("Tab")
        wire = "[...document.querySelectorAll('.wire')].indexOf(document.activeElement)"
        reached.add(tab.evaluate(wire))
        if len(reached - {-1}) == count:
            break
    assert reached - {-1} == set(range(count))
    tab.close()


def test_the_map_is_dragged_zoomed_and_reset(browser: Browser, address: str) -> None:
    tab, wrong = opened(browser, address, 1440)

    def view() -> list[float]:
        found = tab.evaluate("document.querySelector('.fusion').getAttribute('viewBox')")
        return [float(number) for number in found.split()]

    tab.locator("[data-map]").scroll_into_view_if_needed()
    whole = view()
    tab.locator("[data-zoom=in]").click()
    assert view()[2] < whole[2]
    tab.locator("[data-zoom=all]").click()
    assert view() == whole
    room = tab.locator(".fusion").bounding_box()
    assert room
    x, y = room["x"] + room["width"] / 2, room["y"] + 12
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x - 60, y + 30)
    tab.mouse.up()
    moved = view()
    assert moved[0] > whole[0] and moved[1] < whole[1] and moved[2] == whole[2]
    tab.mouse.wheel(0, -300)
    until(tab, lambda: view()[2] < whole[2])
    tab.keyboard.press("0")
    assert view() == whole
    assert wrong == []
    tab.close()


def test_a_wheel_over_the_map_scrolls_the_page_until_it_is_clicked(
    browser: Browser, address: str
) -> None:
    tab, _ = opened(browser, address, 1440)
    tab.locator("[data-map]").scroll_into_view_if_needed()
    tab.locator(".fusion .image").hover()
    before = tab.evaluate("[scrollY, document.querySelector('.fusion').getAttribute('viewBox')]")
    tab.mouse.wheel(0, 200)
    until(tab, lambda: tab.evaluate("scrollY") > before[0])
    assert tab.evaluate("document.querySelector('.fusion').getAttribute('viewBox')") == before[1]
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_no_serious_violation(
    browser: Browser, address: str, scheme: str, width: int
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    )
    tab, _ = opened(browser, address, width, color_scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    violations = axe.Axe().run(tab).response["violations"]
    serious = [
        (one["id"], one["nodes"][0]["target"], one["nodes"][0].get("failureSummary"))
        for one in violations
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    tab.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_studys_page_fits_and_is_reachable_in_light_and_dark(
    browser: Browser, study_address: str, width: int
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    )
    scheme = "dark" if width == 1440 else "light"
    tab, wrong = opened(browser, study_address, width, color_scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for section in ("arms", "curves", "failed", "leaks", "again"):
        assert tab.locator(f"#{section} h2").is_visible()
    tab.locator("#again pre").focus()
    assert tab.evaluate("document.activeElement.tagName") == "PRE"
    seen = axe.Axe().run(tab).response if width != 768 else {"violations": []}
    serious = [one for one in seen["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], one["nodes"][0]["target"]) for one in serious] == []
    assert wrong == []
    tab.close()


def test_dark_is_dark_and_paper_is_light(browser: Browser, address: str, tmp_path: Path) -> None:
    tab, _ = opened(browser, address, 768, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert tab.evaluate(ground) == "rgb(17, 22, 21)"
    tab.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
    tab.emulate_media(media="print")
    assert tab.evaluate(ground) == "rgb(255, 255, 255)"
    tab.close()
