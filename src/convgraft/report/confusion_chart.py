"""A confusion matrix of many classes as inline SVG; of few classes the page has a table."""

from __future__ import annotations

from markupsafe import Markup

from convgraft.report.page_data import Examined
from convgraft.report.svg import element, together

SIDE = 560.0


def confusion_chart(shown: Examined) -> Markup:
    """A square for each pair of a true class (row) and an answer (column) that occurs.

    Right answers are on the diagonal; squares are as strong as their share of the row.
    """
    count = len(shown.classes)
    step = SIDE / count
    squares = []
    for true, row in enumerate(shown.confusion):
        total = max(1, sum(row))
        for answer, number in enumerate(row):
            if not number:
                continue
            words = f"{shown.classes[true]} taken for {shown.classes[answer]}: {number}"
            if true == answer:
                words = f"{shown.classes[true]}, right: {number} of {total}"
            squares.append(
                element(
                    "rect",
                    element("title", words),
                    x=answer * step,
                    y=true * step,
                    width=step,
                    height=step,
                    class_="right" if true == answer else "wrong",
                    fill_opacity=f"{0.12 + 0.88 * (number / total) ** 0.5:.2f}",
                )
            )
    title = f"Confusion of {count} classes: true classes downwards, answers across"
    frame = element("rect", x=0.5, y=0.5, width=SIDE - 1, height=SIDE - 1, class_="edge")
    return element(
        "svg", element("title", title), together(squares), frame,
        viewBox=f"0 0 {SIDE:.0f} {SIDE:.0f}", role="img", class_="chart matrix", aria_label=title,
    )  # fmt: skip
