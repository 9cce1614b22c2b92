"""Draws `questions/NAME.svg` beside it: the plan or the table of each page of docs/questions.

python docs/images/questions.py            write all pictures
python docs/images/questions.py --check    write nothing; exit 1 where one would say something else

Nothing is trained: a chart shows the last table that its page prints, so both say the same. The map
of `which-layers-fit` is the one that the command on its page writes.
"""

from __future__ import annotations

import re
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from convgraft.compose import compose
from convgraft.plan import Plan, plan_from_yaml
from convgraft.report.plan_picture import draw_plan
from convgraft.sources import source
from convgraft.strategies import STRATEGIES, Ingredients

OUT = Path(__file__).with_suffix("")
PAGES = Path(__file__).parents[1] / "questions"
PLANS = ("feed-a-layer", "mse-at-h")
CHARTS: Mapping[str, tuple[str, ...]] = {  # the columns that each chart shows
    "concat-sum-attention": ("test top-1",),
    "average-or-join": ("test top-1",),
    "constant-kernels": ("test top-1",),
    "how-much-to-freeze": ("test top-1",),
    "ship": ("eager ms", "optimised ms"),
}
START = "start"
NAMES = (START, *PLANS, *CHARTS)
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
WEIGHTS = re.compile(r"@[\w/.-]+")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
COLOURS = ("#0b6e5f", "#8c9694")
Table = dict[str, dict[str, float]]  # row, column, number


def draw(name: str, folder: Path) -> Path:
    """Write one picture."""
    path = folder / f"{name}.svg"
    return _chart(last_table(name), CHARTS[name], path) if name in CHARTS else _graph(name, path)


def _graph(name: str, path: Path) -> Path:
    """The plan of the page, of networks without weights, which the picture does not show."""
    plan = _demo() if name == START else _on_page(name)
    sources = {ref.name: source(ref.network, classes=ref.classes) for ref in plan.sources}
    return draw_plan(compose(plan.with_classes(10), sources).resolved, path)


def _on_page(name: str) -> Plan:
    (text,) = YAML.findall((PAGES / f"{name}.md").read_text())
    return plan_from_yaml(WEIGHTS.sub("", text))


def _demo() -> Plan:
    networks = {"a": source("cifar_resnet20"), "b": source("cifar_resnet32", seed=1)}
    return STRATEGIES["cross-skip"].write(Ingredients(networks, image_size=16, classes=10))


def last_table(name: str) -> Table:
    """The last table on a page that has the chart's columns."""
    found: Table = {}
    headers: list[str] = []
    for line in (PAGES / f"{name}.md").read_text().splitlines():
        cells = [cell.strip() for cell in re.split("[│┃]", line)[1:-1]]
        if line.startswith("┃"):
            headers = cells
            found = {} if set(CHARTS[name]) <= set(headers) else found
        elif line.startswith("│") and set(CHARTS[name]) <= set(headers) and cells[0]:
            values = dict(zip(headers, cells, strict=True))
            found[cells[0]] = {column: _number(values[column]) for column in CHARTS[name]}
    return found


def _number(cell: str) -> float:
    match = NUMBER.search(cell)
    return float(match[0]) if match else 0.0


def _chart(table: Table, columns: tuple[str, ...], path: Path) -> Path:
    """Bars, a group for each row, the first row on top."""
    thick = 0.8 / len(columns)
    with rc_context({"svg.hashsalt": "convgraft", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(5, 0.36 * len(table) * len(columns) ** 0.5 + 0.9))
        figure.set_layout_engine("constrained")
        axes: Any = figure.subplots()
        for number, column in enumerate(columns):
            places = [place + number * thick for place in range(len(table))]
            values = [row[column] for row in table.values()]
            bars = axes.barh(places, values, thick * 0.9, color=COLOURS[number], label=column)
            axes.bar_label(bars, fmt="%g", padding=3)
        axes.set_yticks([place + 0.4 - thick / 2 for place in range(len(table))], list(table))
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(columns[0] if len(columns) == 1 else "")
        if len(columns) > 1:
            figure.legend(frameon=False, loc="outside upper right", ncols=len(columns))
        figure.savefig(path, metadata={"Date": None})
    return path


def words(path: Path) -> list[str]:
    """All words of a picture."""
    return [text.text or "" for text in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def main() -> int:
    """Write or check every picture; 1 where one says something else by now."""
    if sys.argv[1:] == ["--check"]:
        with tempfile.TemporaryDirectory() as folder:
            fresh = {name: words(draw(name, Path(folder))) for name in NAMES}
        return int(any(words(OUT / f"{name}.svg") != said for name, said in fresh.items()))
    for name in NAMES:
        print(draw(name, OUT))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
