"""Memory does not grow with the number of files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers_predict import write_pictures

FEW, MANY, MORE = 150, 1500, 8 * 2**10  # files, and KiB that more of them may take
MEASURED = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from pathlib import Path
from helpers_predict import COLOURS, Colours
from convgraft.predict import answer_files
from convgraft.predict.files import image_names
from convgraft.predict.rows import RowForm
from convgraft.predict.writers import open_writer

Colours.size = 64  # pixels that are kept show

def peak(folder):
    rows, writer = 0, open_writer("csv", Path(), RowForm(COLOURS), 0)
    for found in answer_files(image_names([folder]), Colours(), workers=2):
        writer.write(found)
        rows += len(found)
    writer.finish()
    # getrusage would tell of the process that started this one too
    lines = Path("/proc/self/status").read_text().splitlines()
    return rows, int(next(line for line in lines if "VmHWM" in line).split()[1])

print(*peak("few"), *peak("many"))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_ten_times_the_files_take_no_more_memory(tmp_path: Path) -> None:
    names = write_pictures(tmp_path / "few", FEW)
    (tmp_path / "many").mkdir()
    for number in range(MANY):
        (tmp_path / "many" / f"{number:05}.png").hardlink_to(names[number % FEW])
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    few, before, many, after = map(int, done.stdout.split())
    assert (few, many) == (FEW, MANY)
    print(before, after)
    assert after - before < MORE, f"{before} KiB, then {after}"
