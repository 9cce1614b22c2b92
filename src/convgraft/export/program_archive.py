"""What may be in a `.pt2` file before PyTorch opens it.

`torch.export.load` unpickles what a file says is pickled, loads compiled code that lies in it and
evaluates sizes that are written as expressions. `convgraft export` writes none of these. So the
archive is read here, by name, and PyTorch gets a copy with what convgraft writes and nothing else.

This keeps damaged files and known attacks out. It is no proof: load files that you made, or trust.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convgraft.errors import ArtifactError

SAMPLE_INPUTS = "data/sample_inputs/model.pt"
PROGRAM = "models/model.json"
_CONFIGS = re.compile(r"data/(weights|constants)/model_(weights|constants)_config\.json")
_KNOWN = re.compile(
    r"archive_format|archive_version|byteorder|version|\.format_version|\.storage_alignment"
    r"|\.data/\w+|extra/[\w.]+|data/weights/weight_\d+|data/constants/tensor_\d+"
    rf"|{re.escape(SAMPLE_INPUTS)}|{re.escape(PROGRAM)}|{_CONFIGS.pattern}"
)
# of an image, as SymPy writes it: Add(Symbol('s34', positive=True, integer=True), Integer(1))
_SYMBOL = re.compile(r"Symbol\('[su]\d+'(?:, [a-z_]+=(?:True|False))*\)")
_SIZE = re.compile(r"[\w\s+\-*/(),<>=]{0,300}")
_WORDS = re.compile(r"[A-Za-z_]\w*")
_KNOWN_WORD = re.compile(
    r"[su]\d+|Integer|Rational|Add|Mul|Max|Min|Mod|FloorDiv|CeilToInt|FloorToInt|Eq|Ne|Le|Lt|Ge|Gt"
)
_CALLED = re.compile(r"torch\.ops\.(aten|prims|higher_order)\.[\w.]+|_operator\.[a-z]+")
MAX_ENTRIES = 100_000


def vetted(path: str | Path) -> io.BytesIO:
    """A `.pt2` file as PyTorch may have it; raises ArtifactError where it holds what may run."""
    kept = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(kept, "w") as copy:
            for name, content in _entries(archive, Path(path).stat().st_size):
                _check(name.partition("/")[2], content)
                copy.writestr(zipfile.ZipInfo(name), content)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ArtifactError(
            f'"{path}" cannot be read',
            expected="a file that convgraft export wrote",
            found=str(error),
            hint="convgraft export RUN --format pt2",
        ) from error
    kept.seek(0)
    return kept


def _entries(archive: zipfile.ZipFile, size: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents; raises ValueError for names twice, or more than the file can hold."""
    found = archive.infolist()
    if len(found) > MAX_ENTRIES or sum(one.file_size for one in found) > size:
        raise ValueError("an archive that unpacks to more than it is")
    if len({one.filename for one in found}) < len(found):
        raise ValueError("an archive that has one name twice")
    for one in found:
        yield one.filename, archive.read(one)


def _check(name: str, content: bytes) -> None:
    """Raise ValueError for an entry that convgraft does not write."""
    if not _KNOWN.fullmatch(name):
        raise ValueError(f"{name}, which convgraft export does not write")
    if name == SAMPLE_INPUTS and content:
        raise ValueError(f"{name} is pickled")
    if name == PROGRAM:
        _check_program(_json(name, content))
    if _CONFIGS.fullmatch(name):
        entries = _json(name, content).get("config", {}).values()
        if any(not isinstance(one, dict) or one.get("use_pickle") is not False for one in entries):
            raise ValueError(f"{name} names pickled tensors")


def _json(name: str, content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except RecursionError as error:
        raise ValueError(f"{name} is nested too deeply") from error
    if not isinstance(data, dict):
        raise ValueError(f"{name} is no JSON object")
    return data


def _check_program(program: Any) -> None:
    """Sizes are evaluated as Python and targets looked up by name: both have to be usual ones."""
    left = [program]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += one.values()
            if not _is_size(one.get("expr_str", "")):
                raise ValueError(f"the size {str(one['expr_str'])[:80]!r}")
            target = one.get("target", "") if "inputs" in one else ""
            if target and not (isinstance(target, str) and _CALLED.fullmatch(target)):
                raise ValueError(f"a call of {str(target)[:80]!r}")
        elif isinstance(one, list):
            left += one


def _is_size(text: object) -> bool:
    if not isinstance(text, str):
        return False
    plain = _SYMBOL.sub("s0", text)
    words = _WORDS.findall(plain)
    return (
        _SIZE.fullmatch(plain) is not None
        and "**" not in plain
        and all(_KNOWN_WORD.fullmatch(word) for word in words)
    )
