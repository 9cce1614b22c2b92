"""`convgraft fit` as several processes: one run, one voice, and a clear word when one dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_cli import convgraft
from helpers_distributed import PATIENCE, rank_of, started, two_hosts, wait_for

import convgraft as cg
from convgraft.cli.starting import PORTS, free_port

slow = pytest.mark.slow
COMMON = [
    "--models", "cifar_resnet20", "cifar_resnet20", "--strategy", "parallel", "--image-size", 8,
    "--freeze", "heads-only", "--accelerator", "cpu", "--seed", 1,
]  # fmt: skip


LEAST_GIVEN = 32_768  # by Linux as it is set up, and by all others


def metrics(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


def assert_alike(run: Path, other: Path) -> None:
    """The same curve and the same test result, within what is promised."""
    ours, theirs = metrics(run), metrics(other)
    for one, two in zip(ours["curve"], theirs["curve"], strict=True):
        assert one["train_loss"] == pytest.approx(two["train_loss"], abs=1e-4)
        assert one["val"]["label"] == pytest.approx(two["val"]["label"], abs=1e-4)
    assert ours["test"]["label"]["top1"] == pytest.approx(theirs["test"]["label"]["top1"], abs=1e-4)
    assert ours["test"]["label"]["nll"] == pytest.approx(theirs["test"]["label"]["nll"], abs=1e-4)


@slow
def test_two_processes_make_the_run_of_one(tmp_path: Path) -> None:
    command = [
        "fit", "digits", *COMMON, "--limit", 98, "--epochs", 2, "--baselines", "--json", "--out",
    ]  # fmt: skip
    one = started(*command, tmp_path / "one", store=tmp_path / "store one")
    out, err = one.communicate(timeout=PATIENCE)
    assert one.returncode == 0, err
    two = started(*command, tmp_path / "two", "--devices", 2, store=tmp_path / "store two")
    told, err = two.communicate(timeout=PATIENCE)
    assert two.returncode == 0, err
    rows = json.loads(told)["rows"]  # one document: one rank speaks
    assert [row["arm"] for row in rows] == [row["arm"] for row in json.loads(out)["rows"]]
    assert_alike(tmp_path / "two", tmp_path / "one")
    files = [
        {str(path.relative_to(run)) for path in run.rglob("*")}
        for run in (tmp_path / "one", tmp_path / "two")
    ]
    assert files[0] == files[1]
    assert len(json.loads((tmp_path / "two" / "command.json").read_text())) == 1
    assert metrics(tmp_path / "two")["test_reads"] == metrics(tmp_path / "one")["test_reads"]


@slow
def test_two_processes_with_a_share_of_all_weights_make_the_run_of_one(tmp_path: Path) -> None:
    command = [
        "fit", "digits", *COMMON, "--freeze", "all", "--augment", "none", "--precision", "64-true",
        "--limit", 50, "--epochs", 2, "--out",
    ]  # fmt: skip
    one = started(*command, tmp_path / "one", store=tmp_path / "store")
    _, err = one.communicate(timeout=PATIENCE)
    assert one.returncode == 0, err
    words = ["--devices", 2, "--strategy-dist", "fsdp"]
    two = started(*command, tmp_path / "two", *words, store=tmp_path / "store")
    _, err = two.communicate(timeout=PATIENCE)
    assert two.returncode == 0, err
    assert_alike(tmp_path / "two", tmp_path / "one")
    weights = [cg.load(tmp_path / run).composite.state_dict() for run in ("one", "two")]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-4)


@slow
def test_a_rank_that_is_killed_is_named_and_another_number_of_them_goes_on(tmp_path: Path) -> None:
    run, store = tmp_path / "run", tmp_path / "store"
    command = [
        "fit", "digits", *COMMON, "--limit", 400, "--epochs", 60, "--batch-size", 8,
        "--checkpoint-minutes", 0.001, "--out", run,
    ]  # fmt: skip
    process = started(*command, "--devices", 2, store=store)
    wait_for(process, run / "state" / "checkpoints" / "parallel.ckpt")
    os.kill(rank_of(process, 1), signal.SIGKILL)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "rank 1 was killed (SIGKILL)" in told
    assert "goes on from the last checkpoint" in told
    assert "Traceback" not in told
    stopped = started(*command, "--devices", 3, store=store)
    line = stopped.stderr.readline() if stopped.stderr else ""
    while line and "going on with the unfinished run" not in line:
        line = stopped.stderr.readline() if stopped.stderr else ""
    assert line
    os.kill(stopped.pid, signal.SIGINT)  # as Ctrl-C does
    _, told = stopped.communicate(timeout=PATIENCE)
    assert stopped.returncode == 1
    assert told.count("stopped") <= 1 and "Traceback" not in told
    last = started(*command, store=store)
    _, told = last.communicate(timeout=PATIENCE)
    assert last.returncode == 0, told
    assert "going on with the unfinished run" in told
    assert len(metrics(run)["curve"]) == 60


@slow
def test_what_is_wrong_is_told_once_with_its_code(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("my life")
    process = started(
        "fit", pictures, *COMMON, "--epochs", 1, "--batch-size", 8, "--devices", 2,
        "--out", tmp_path / "run", store=tmp_path / "store",
    )  # fmt: skip
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, told
    assert told.count("error:") == 1
    assert "files that are no run" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-nodes", 2], "--master HOST:PORT"),
        (["--num-nodes", 2, "--node-rank", 2, "--master", "here:1"], "--node-rank 0 to 1"),
        (["--num-nodes", 2, "--node-rank", 0, "--master", "here"], "--master HOST:PORT"),
        (["--strategy-dist", "deepspeed"], "auto, ddp, fsdp"),
        (["--checkpoint-minutes", -1], "0 or more"),
    ],
)
def test_wrong_use(words: list[object], message: str, tmp_path: Path) -> None:
    outcome = convgraft("fit", "digits", *COMMON, "--out", tmp_path / "r", *words)
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "r").exists()


WEIGHTS = {"cifar_resnet20": 272_474, "cifar_resnet56": 855_770}  # of each, all frozen


@slow
def test_two_hosts_send_each_other_the_gradients_of_what_learns(tmp_path: Path) -> None:
    """With two ranks gloo's ring sends each gradient once from either: 2 (p - 1) / p = 1."""
    epochs, steps = 3, 3 * 8
    with two_hosts() as hosts:
        sent = {
            model: _sent(hosts, model, epochs, tmp_path, port)
            for port, model in enumerate(WEIGHTS, start=29_555)
        }
    alone = started(*_fit("cifar_resnet20", epochs, tmp_path / "alone"), store=tmp_path / "store")
    assert alone.wait(PATIENCE) == 0
    assert_alike(tmp_path / "cifar_resnet20", tmp_path / "alone")
    learns = metrics(tmp_path / "cifar_resnet20")["trainable"]
    frozen = {name: 2 * 4 * count for name, count in WEIGHTS.items()}  # two of each, float32
    gradients = 4 * learns * steps
    assert learns > 60_000
    for count in sent.values():  # the head once at the beginning; headers and short words
        assert gradients < count < 1.1 * (gradients + 4 * learns) + 300_000
    more = frozen["cifar_resnet56"] - frozen["cifar_resnet20"]
    assert abs(sent["cifar_resnet56"] - sent["cifar_resnet20"]) < 0.05 * more
    assert cg.load(tmp_path / "cifar_resnet56").metrics["finished"] is True


@slow
def test_two_hosts_with_shares_send_each_other_weights_too(tmp_path: Path) -> None:
    epochs, steps, looks = 2, 8, 2  # batches of an epoch, and of its validation
    more = ["--freeze", "all", "--views", 0, "--strategy-dist", "fsdp"]
    with two_hosts() as hosts:
        sent = _sent(hosts, "cifar_resnet20", epochs, tmp_path, 29_571, *more)
    half = 4 * metrics(tmp_path / "cifar_resnet20")["trainable"] / 2
    a_step = half + half + 2 * half  # forwards, backwards, and all gradients over gloo
    an_epoch = steps * a_step + looks * half + 3 * half  # in the end with what AdamW keeps
    assert epochs * an_epoch < sent < 1.1 * (epochs * an_epoch + 2 * half) + 300_000


def _fit(model: str, epochs: int, out: Path) -> list[object]:
    return [
        "fit", "digits", "--models", model, model, "--strategy", "parallel", "--image-size", 8,
        "--freeze", "heads-only", "--hidden", "512", "--limit", 256, "--epochs", epochs,
        "--accelerator", "cpu", "--out", out,
    ]  # fmt: skip


def _sent(hosts: Any, model: str, epochs: int, folder: Path, port: int, *more: object) -> int:
    """Bytes that the first host sends in a whole fit."""
    before = hosts[0].sent()
    processes = [
        started(
            *_fit(model, epochs, folder / model), *more, "--num-nodes", 2, "--node-rank", rank,
            "--master", f"{hosts[0].address}:{port}", store=folder / "store", within=host.within,
        )
        for rank, host in enumerate(hosts)
    ]  # fmt: skip
    for process in processes:
        _, told = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, told
    return hosts[0].sent() - before


def test_ranks_meet_at_a_free_port_that_nobody_is_given_who_asks_for_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", free_port()))
        taken = used.getsockname()[1]
        drawn = iter([taken, *range(*PORTS)])
        monkeypatch.setattr("random.SystemRandom.randint", lambda self, low, high: next(drawn))
        assert taken != free_port() < LEAST_GIVEN
    assert max(PORTS) < LEAST_GIVEN


LATE = """
import atexit

from convgraft.cli import main, rank_words


class Late:
    def __del__(self):
        print("taken apart")


rank_words.part = rank_words.is_one_of_many = lambda: {many}
atexit.register(print, "left")
kept = Late()
main.main({command})
"""


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize(("command", "code"), [(["--version"], 0), (["explain", "no.yaml"], 2)])
def test_one_of_several_ranks_ends_before_the_interpreter_is_taken_apart(
    many: bool, command: list[str], code: int, tmp_path: Path
) -> None:
    late = [sys.executable, "-c", LATE.format(many=many, command=command)]
    done = subprocess.run(
        late, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith("convgraft ") or "no.yaml" in done.stderr
    assert done.stdout.splitlines()[1 - bool(code) :] == ["left"] + ["taken apart"] * (not many)
