"""The web page and its parts; its looks are those of the report."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from starlette.responses import Response

from convgraft.serve.refusal import Refusal

OWN, REPORT = "convgraft.serve", "convgraft.report"
PARTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "page.css": (
        (REPORT, "colours.css"),
        (REPORT, "page.css"),
        (REPORT, "fusion.css"),
        (OWN, "serve.css"),
    ),
    "page.js": ((OWN, "api.js"), (OWN, "answer.js"), (OWN, "camera.js"), (OWN, "page.js")),
    "map.js": ((REPORT, "facts.js"), (REPORT, "view.js")),
}
KINDS = {"css": "text/css", "js": "text/javascript"}


def page_html() -> str:
    """The page. It is the same for every model: scripts ask the server for the rest."""
    return _read(OWN, "page.html")


def asset(name: str) -> Response:
    """One of the page's files; raises Refusal, 404, for a name that is not one of them."""
    if name not in PARTS:
        raise Refusal(404, "the page has no such part", expected=", ".join(PARTS))
    text = "\n".join(_read(*part) for part in PARTS[name])
    return Response(text, media_type=KINDS[name.rpartition(".")[2]])


@cache
def _read(package: str, name: str) -> str:
    return (files(package) / "html" / name).read_text(encoding="utf-8")
