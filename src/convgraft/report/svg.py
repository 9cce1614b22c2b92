"""Elements of an inline SVG as text; everything that comes from outside is escaped.

matplotlib draws the figures that are files. Those of a page are made here, because inline SVG takes
its colours from the page, so that they follow light and dark, its text stays text, and its
parts can be reached by keyboard.
"""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

Attribute = str | float | None


def element(tag: str, *inside: str, **attributes: Attribute) -> Markup:
    """An element; `class_` stands for class, `stroke_width` for stroke-width, None is left out.

    >>> print(element("text", "a < b", x=1.25, class_="name"))
    <text x="1.2" class="name">a &lt; b</text>
    """
    told = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _told(value))
        for name, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), told, together(inside))


def together(parts: Iterable[str]) -> Markup:
    """Parts one after another; plain text among them is escaped."""
    return Markup("").join(escape(part) for part in parts)


def _told(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
