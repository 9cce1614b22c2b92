"""`convgraft match` as several processes: what one finds, and no image is decoded by all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_cli import write_pictures
from helpers_distributed import PATIENCE, started
from safetensors.torch import load_file

from convgraft.cli.starting import free_port

slow = pytest.mark.slow
TABLES = ("cka", "forward", "backward", "forward_error", "backward_error")
# what a rank finds, and how many images it has decoded before rank zero looks at stitches
RANK = """
import os, sys
from convgraft.cli import joining, match_steps, rank_words
from safetensors.torch import save_file
import torch
out, data = sys.argv[1:]
if os.environ["WORLD_SIZE"] != "1":
    joining.join(dict(os.environ))
made = []
real = match_steps.match_taps
def noted(*given, **more):
    found = real(*given, **more)
    images = given[2]
    made.append(images.decoded if hasattr(images, "decoded") else len(images))
    return found
match_steps.match_taps = noted
asked = match_steps.Asked(
    ("cifar_resnet20", "cifar_resnet20"), data, 1000, 8, None, "layer?", 1, 4, False, 2.0, 0
)
found = match_steps.find(match_steps.open_inputs(asked), lambda *told: None)
values = {"decoded": torch.tensor(made)}
if found:
    values |= {name: getattr(found.matching, name) for name in TABLES}
    values["points"] = torch.tensor([one.points for one in found.stitches]).double()
    values["broken"] = torch.tensor(len(found.broken))
    values["images"] = torch.tensor(found.matching.images)
save_file({name: value.contiguous() for name, value in values.items()}, out)
rank_words.part()
""".replace("TABLES", repr(TABLES))


def run_ranks(world: int, data: Path, folder: Path) -> list[dict[str, torch.Tensor]]:
    """What every rank has found."""
    paths = [folder / f"{world}-{rank}.safetensors" for rank in range(world)]
    common = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    paths_known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    online = os.pathsep.join(part for part in paths_known if part and not part.endswith("offline"))
    known = {**os.environ, "PYTHONPATH": online, "OMP_NUM_THREADS": "1", **common}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, path, data],
            env={**known, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank, path in enumerate(paths)
    ]
    assert [process.wait(PATIENCE) for process in processes] == [0] * world
    return [load_file(path) for path in paths]


@slow
def test_two_ranks_find_what_one_finds_and_decode_a_share_each(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "pictures", per_class=160)
    for path in sorted(data.rglob("*.png"))[3:40:9]:
        path.write_bytes(b"no picture")
    (one,) = run_ranks(1, data, tmp_path)
    first, second = run_ranks(2, data, tmp_path)
    assert one["broken"] == first["broken"] and one["broken"] > 0
    assert one["images"] == first["images"] == one["decoded"]
    for name in (*TABLES, "points"):
        torch.testing.assert_close(first[name], one[name], rtol=1e-9, atol=1e-9, equal_nan=True)
    shares = [int(rank["decoded"]) for rank in (first, second)]
    # at the border of each batch some more, in place of the broken ones
    whole = int(one["images"])
    assert all(0.3 * whole < share < 0.7 * whole for share in shares)
    assert whole <= sum(shares) <= whole + 4 * int(one["broken"]) * (1 + whole // 100)


@slow
def test_the_command_starts_its_ranks_and_one_of_them_speaks(tmp_path: Path) -> None:
    command = [
        "match", "cifar_resnet20", "cifar_resnet20", "--data", "digits", "--image-size", 8,
        "--limit", 230, "--taps", "layer?", "--stitches", 1, "--json",
    ]  # fmt: skip
    one = started(*command, store=tmp_path / "store")
    told, err = one.communicate(timeout=PATIENCE)
    assert one.returncode == 0, err
    two = started(*command, "--devices", 2, "--plan", tmp_path / "p.yaml", store=tmp_path / "store")
    both, err = two.communicate(timeout=PATIENCE)
    assert two.returncode == 0, err
    ours, theirs = json.loads(both), json.loads(told)
    assert (tmp_path / "p.yaml").is_file()
    for name in TABLES:
        assert flat(ours[name]) == pytest.approx(flat(theirs[name]), abs=1.1e-6, nan_ok=True)
    for name in ("pairs", "stitches", "images"):
        assert words(ours[name]) == words(theirs[name])


def flat(table: list[list[float | None]]) -> list[float]:
    return [float("nan") if value is None else value for row in table for value in row]


def words(told: Any) -> Any:
    """Without numbers, which are rounded."""
    if isinstance(told, list):
        return [words(one) for one in told]
    if isinstance(told, dict):
        return {name: one for name, one in told.items() if isinstance(one, (str, int))}
    return told
