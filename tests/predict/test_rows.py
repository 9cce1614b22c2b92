"""What rows say in every format, read back by other libraries."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers_predict import COLOURS, answers
from pyarrow import parquet

from convgraft.errors import UsageError
from convgraft.predict.rows import RowForm, columns, records, short, shown
from convgraft.predict.text_forms import TEXT_FORMS
from convgraft.predict.writers import FORMATS, format_of, open_writer

NAMES = ("a.png", 'tw"o,\nlines.png', "\U0001f408.png", "caf\udce9.png", "=1+1.png")
ROWS = ([0.7, 0.2, 0.1], [0.1, 0.3, 0.6], "is empty", [1 / 3, 1 / 3, 1 / 3], [0, 1e-9, 1])
FOUND = answers(NAMES, ROWS)
FORM = RowForm(COLOURS, top=2, probabilities=True)


def naive(name: str, row: list[float] | str) -> dict[str, object]:
    """A row by its definition in docs/predict.md."""
    file = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(row, str):
        return {"file": file, "error": row}
    best = sorted(range(3), key=lambda index: (-row[index], index))[:2]
    classes = [{"label": COLOURS[i], "probability": pytest.approx(row[i], 1e-5)} for i in best]
    chances = {label: pytest.approx(p, 1e-5) for label, p in zip(COLOURS, row, strict=True)}
    return {"file": file, **classes[0], "classes": classes, "probabilities": chances}


def written(folder: Path, format: str, form: RowForm = FORM) -> Path:
    """The rows, in two pieces, with a commit between them."""
    writer = open_writer(format, folder, form, 0)
    writer.write(answers(NAMES[:2], ROWS[:2]))
    writer.commit()
    writer.write(answers(NAMES[2:], ROWS[2:]))
    return writer.finish()


def flat(rows: list[dict[str, object]]) -> None:
    """Check rows of columns, with None for what is not there."""
    for row, name, given in zip(rows, NAMES, ROWS, strict=True):
        told = naive(name, given)
        assert row["file"] == told["file"]
        assert row["error"] == told.get("error")
        for rank, ending in enumerate(("", "_2")):
            classes = told.get("classes")
            wanted = classes[rank] if isinstance(classes, list) else {}
            assert row[f"label{ending}"] == wanted.get("label")
            assert row[f"probability{ending}"] == wanted.get("probability")
        chances = told.get("probabilities", {})
        assert {c: row[f"p:{c}"] for c in COLOURS} == (chances or dict.fromkeys(COLOURS))


def test_json_and_json_lines(tmp_path: Path) -> None:
    wanted = [naive(name, row) for name, row in zip(NAMES, ROWS, strict=True)]
    assert json.loads(written(tmp_path, "json").read_text("utf-8")) == wanted
    told = written(tmp_path, "jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in told] == wanted


def test_csv(tmp_path: Path) -> None:
    text = written(tmp_path, "csv").read_bytes().decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    numbers = [name for name in rows[0] if name[0] == "p"]
    flat([
        {k: None if v == "" else float(v) if k in numbers else v for k, v in row.items()}
        for row in rows
    ])  # fmt: skip
    assert text.splitlines()[0] == (
        "file,label,probability,label_2,probability_2,p:red,p:green,p:blue,error"
    )
    frame = pd.read_csv(io.StringIO(text))
    assert frame["label"].isna().sum() == frame["p:red"].isna().sum() == 1


def test_parquet(tmp_path: Path) -> None:
    table = parquet.read_table(written(tmp_path, "parquet"))
    flat(table.to_pylist())
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert types.pop("probability_2") == types.pop("p:blue") == "float"
    assert {types[name] for name in ("file", "label", "label_2", "error")} == {"string"}


@pytest.mark.parametrize("format", FORMATS)
def test_no_rows(tmp_path: Path, format: str) -> None:
    path = open_writer(format, tmp_path, FORM, 0).finish()
    if format == "parquet":
        assert parquet.read_table(path).num_rows == 0
    elif format == "json":
        assert json.loads(path.read_text()) == []
    else:
        assert path.read_text().count("\n") == (1 if format == "csv" else 0)


def test_no_more_classes_are_named_than_there_are() -> None:
    form = RowForm(COLOURS, top=9)
    assert len([name for name in columns(FOUND, form) if name.startswith("label")]) == 3
    assert len(next(records(FOUND, form))["classes"]) == 3


def test_a_network_that_gives_no_numbers_is_told_in_every_format(tmp_path: Path) -> None:
    found = answers(["a.png"], [[math.nan] * 3])
    row = next(records(found, FORM))
    assert row["probability"] is None and "error" not in row
    json.loads(TEXT_FORMS["json"].rows(found, FORM, first=True))
    assert short(np.float32("inf")) is None


def test_names_are_shown_as_text() -> None:
    assert shown("caf\udce9\n.png") == "caf\\xe9\n.png"
    assert shown("\U0001f408 \u00e9.png") == "\U0001f408 \u00e9.png"


def test_the_format_is_chosen_or_told_by_the_name() -> None:
    assert format_of(Path("x.CSV"), None) == "csv"
    assert format_of(Path("x.ndjson"), None) == "jsonl"
    assert format_of(Path("x.csv"), "parquet") == "parquet"
    assert format_of(None, "json") == "json"
    for out, format in ((Path("x"), None), (Path("x.txt"), None), (Path("x.csv"), "parket")):
        with pytest.raises(UsageError, match="format"):
            format_of(out, format)
