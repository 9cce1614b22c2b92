"""The page in a real browser: Debian's chromium, driven by playwright."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from convgraft.serve.access import Access
from convgraft.serve.served import Served

from .conftest import LABELS, picture
from .serving import Running, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

pytestmark = pytest.mark.slow
HEIGHT = 900
FILE: Any = {"name": "a.png", "mimeType": "image/png", "buffer": picture(1, (64, 48))}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--use-fake-device-for-media-stream"]
        arguments += ["--use-fake-ui-for-media-stream"]
        browser = started.chromium.launch(executable_path=program, args=arguments, timeout=300_000)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(served: Served) -> Iterator[Running]:
    with running(served) as up:
        yield up


def opened(browser: Browser, up: Running, width: int, **more: Any) -> tuple[Tab, list[str]]:
    """The page at a width, and everything that went wrong: errors, and requests elsewhere."""
    tab = browser.new_page(viewport={"width": width, "height": HEIGHT}, **more)
    tab.set_default_timeout(60_000)
    wrong: list[str] = []
    own = (up.address, "blob:", "data:")
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
    tab.on("request", lambda asked: None if asked.url.startswith(own) else wrong.append(asked.url))
    tab.goto(up.address)
    return tab, wrong


def answered(tab: Tab) -> None:
    """Wait for the answer, for why, and for the map."""
    tab.locator("#networks > li").first.wait_for()
    tab.locator(".fusion .carries").first.wait_for(state="attached")


def until(tab: Tab, condition: Callable[[], bool]) -> None:
    for _ in range(1200):  # a minute, for a busy machine
        if condition():
            return
        tab.wait_for_timeout(50)
    raise AssertionError("it did not come")


@pytest.mark.parametrize("width", [390, 1440])
def test_a_picture_is_answered_and_explained_and_nothing_overflows(
    browser: Browser, server: Running, width: int
) -> None:
    tab, wrong = opened(browser, server, width)
    until(tab, lambda: tab.locator("h1").inner_text() == "mixed")
    assert "by PyTorch" in tab.locator("#about").inner_text()
    assert tab.locator("#answer").inner_text() == "There is no picture yet."
    tab.locator("#file").set_input_files([FILE])
    answered(tab)
    said = tab.locator("#answer").inner_text()
    assert any(said.startswith(label) for label in LABELS) and said.endswith("%")
    assert tab.locator("#answer").get_attribute("aria-live") == "polite"
    assert tab.locator("#classes li").count() == 4
    assert tab.locator("#networks > li").count() == 2
    assert "Nearest" in tab.locator("#networks > li").nth(1).inner_text()
    assert tab.locator("#networks canvas").count() >= 1
    assert tab.locator(".fusion .wire").count() == 1
    told = tab.locator(".fusion .wire").get_attribute("data-facts") or ""
    assert "this picture" in told
    assert (tab.locator(".fusion .carries").text_content() or "").endswith("%")
    assert tab.locator(".strengths > li").count() == 3
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert wrong == []
    tab.close()


def test_all_of_it_works_by_keyboard(browser: Browser, server: Running) -> None:
    tab, wrong = opened(browser, server, 1440)
    choosers: list[Any] = []
    tab.on("filechooser", lambda chooser: choosers.append(chooser))
    tab.locator(".fusion .wire").wait_for()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "choose"
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.keyboard.press("Enter")
    until(tab, lambda: len(choosers) == 1)
    choosers[0].set_files([FILE])
    answered(tab)
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "camera"
    tab.keyboard.press("Tab")
    tab.keyboard.press("Tab")
    second = tab.locator("#classes button").nth(1)
    assert second.evaluate("one => one === document.activeElement")
    tab.keyboard.press("Enter")
    until(tab, lambda: second.get_attribute("aria-pressed") == "true")
    label = second.locator(".label").inner_text()
    assert label in tab.locator("#explained").inner_text()
    assert second.evaluate("one => one === document.activeElement")
    reached: set[str] = set()
    for _ in range(30):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.getAttribute('class') || ''"))
    assert "wire" in reached
    assert wrong == []
    tab.close()


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_picture_is_pasted_or_dropped(browser: Browser, server: Running, way: str) -> None:
    tab, wrong = opened(browser, server, 1440)
    data = base64.b64encode(picture()).decode()
    tab.evaluate(
        """([way, data]) => {
            const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
            const given = new DataTransfer();
            given.items.add(new File([bytes], "b.png", { type: "image/png" }));
            const event = way === "paste"
                ? new ClipboardEvent("paste", { clipboardData: given, bubbles: true })
                : new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true });
            document.querySelector("#drop").dispatchEvent(event);
        }""",
        [way, data],
    )
    answered(tab)
    assert wrong == []
    tab.close()


def test_a_picture_is_taken(browser: Browser, server: Running) -> None:
    tab, wrong = opened(browser, server, 390, permissions=["camera"])
    tab.locator("#camera").click()
    until(tab, lambda: tab.evaluate("document.querySelector('video').videoWidth > 0"))
    tab.locator("#take").click()
    answered(tab)
    assert not tab.locator("#shot").is_visible()
    assert wrong == []
    tab.close()


def test_what_is_no_picture_is_told_in_words(browser: Browser, server: Running) -> None:
    tab, _ = opened(browser, server, 390)
    evil: Any = {
        "name": "<img src=x onerror=alert(1)>.png",
        "mimeType": "image/png",
        "buffer": b"<b>",
    }
    tab.locator("#file").set_input_files([evil])
    tab.locator(".problem").wait_for()
    assert "is not an image" in tab.locator("#answer").inner_text()
    tab.locator("#file").set_input_files([FILE])
    answered(tab)
    tab.close()


def test_a_token_is_asked_for_and_kept_for_the_tab(browser: Browser, served: Served) -> None:
    with running(served, access=Access("secret", ())) as up:
        tab, _ = opened(browser, up, 390)
        tab.locator("#entry").wait_for()
        assert not tab.locator("#desk").is_visible() and "mixed" not in tab.content()
        tab.locator("#token").fill("wrong")
        tab.keyboard.press("Enter")
        until(tab, lambda: "another token" in tab.locator("#about").inner_text())
        assert not tab.locator("#desk").is_visible()
        tab.locator("#token").fill("secret")
        tab.keyboard.press("Enter")
        until(tab, lambda: tab.locator("#desk").is_visible())
        tab.locator("#file").set_input_files([FILE])
        answered(tab)
        tab.close()


def test_a_late_answer_to_an_earlier_token_changes_nothing(
    browser: Browser, served: Served
) -> None:
    with running(served, access=Access("secret", ())) as up:
        tab, _ = opened(browser, up, 390)
        tab.locator("#entry").wait_for()
        held: list[Any] = []
        tab.route("**/v1/model", lambda one: one.continue_() if held else held.append(one))
        for token in ("wrong", "secret"):
            tab.locator("#token").fill(token)
            tab.keyboard.press("Enter")
            until(tab, lambda: len(held) == 1)
        tab.locator("#desk").wait_for()
        with tab.expect_response("**/v1/model") as late:
            held[0].continue_()
        assert late.value.status == 401
        tab.wait_for_timeout(200)
        assert tab.locator("#desk").is_visible() and not tab.locator("#entry").is_visible()
        tab.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1440)])
def test_axe_finds_no_serious_violation(
    browser: Browser, server: Running, scheme: Any, width: int
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    )
    tab, _ = opened(browser, server, width, color_scheme=scheme)
    tab.locator("#file").set_input_files([FILE])
    answered(tab)
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    violations = axe.Axe().run(tab).response["violations"]
    serious = [
        (one["id"], one["nodes"][0]["target"], one["nodes"][0].get("failureSummary"))
        for one in violations
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    tab.close()
