"""`convgraft fit` from end to end, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers_cli import convgraft

import convgraft as cg
from convgraft.data import open_images, read_split

ARMS = [
    "cross-skip", "probe-a", "probe-b", "finetune-a", "finetune-b",
    "average-probe", "average-finetune",
]  # fmt: skip


def test_fit_prints_every_arm_with_its_test_score(run: Path) -> None:
    printed = json.loads((run.parent / "one.json").read_text())
    assert [row["arm"] for row in printed["rows"]] == ARMS
    assert all(0 <= row["test"]["top1"] <= 1 for row in printed["rows"])
    assert printed["result"] == printed["rows"][0]
    assert printed["images"] == {"train": 25, "val": 4, "test": 7}
    told = printed["comparisons"]
    kinds = [one["against"].rpartition("-")[0].partition("-")[0] for one in told]
    assert kinds[0] == "average" and kinds[1] in ("probe", "finetune")
    for one in told:
        assert (one["outcome"], one["images"]) == ("tie", 7)  # so few images tell nothing
        assert f"cross-skip is a tie with {one['against']}" in printed["verdict"]
    assert "One seed only" in printed["verdict"]


def test_the_test_part_is_read_once_per_arm_after_all_choices(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test_reads"] == ARMS


def test_the_run_is_complete_and_its_state_is_gone(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    files = {"model.safetensors", "plan.yaml", "labels.json", "metrics.json", "card.md"}
    files.add("SHA256SUMS")
    assert names == files | {"split.csv", "baselines", "predictions", "command.json"}
    assert {p.stem for p in (run / "predictions").iterdir()} == set(ARMS)
    assert {p.name for p in (run / "baselines").iterdir()} == set(ARMS[1:])


def test_one_line_loads_the_run_without_the_original_weights(run: Path) -> None:
    loaded = cg.load(run)
    chances = loaded.probabilities(torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8))
    assert chances.shape == (2, 3)
    assert torch.allclose(chances.sum(1), torch.ones(2))
    assert loaded.labels == ("blue", "green", "red")


def test_every_baseline_is_an_artifact_that_scores_what_the_table_says(
    run: Path, pictures: Path
) -> None:
    rows = json.loads((run / "metrics.json").read_text())["rows"]
    split = read_split(run / "split.csv", open_images(pictures))
    assert len(split.test) > 0
    for row in rows[1:]:
        loaded = cg.load(run / "baselines" / row["arm"])
        images = open_images(pictures)
        pixels = cg.Task(images, split, 16).pixels("test")
        assert cg.evaluate(loaded.composite, pixels)["label"].top1 == row["test"]["top1"]


def test_evaluate_uses_the_runs_own_test_part(run: Path, pictures: Path) -> None:
    outcome = convgraft("evaluate", run, pictures, "--json")
    told = json.loads(outcome.out)
    recorded = json.loads((run / "metrics.json").read_text())["test"]["label"]
    assert told["part"] == "test part of the run"
    assert {key: told[key] for key in recorded} == recorded
    assert "next" not in outcome.err


def test_evaluate_names_the_commands_that_go_on_from_there(run: Path, pictures: Path) -> None:
    outcome = convgraft("evaluate", run, pictures)
    assert outcome.err == f"next: convgraft report {run} --open, or convgraft export {run}\n"
    outcome = convgraft("evaluate", "cifar_resnet20", "digits", "--image-size", 8)
    assert outcome.err == (
        "next: convgraft fit digits --models cifar_resnet20 B --baselines --out RUN, "
        "where B is another network\n"
    )


def test_predict_names_classes_and_broken_files(run: Path, pictures: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"<html>no picture</html>")
    outcome = convgraft("predict", run, pictures / "red" / "00.png", broken, "--top", 2, "--json")
    rows = json.loads(outcome.out)
    assert outcome.code == 0
    assert len(rows[0]["classes"]) == 2
    assert "error" in rows[1]
    assert "broken.png" in outcome.err
    assert convgraft("predict", run, broken).code == 1
    assert convgraft("predict", run, broken, pictures, "--strict").code == 2


def test_a_file_may_have_any_name(run: Path, pictures: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copy(pictures / "red" / "00.png", tmp_path / "[red] :smile:.png")
    outcome = convgraft("predict", run, tmp_path)
    assert outcome.code == 0, outcome.err
    assert "[red] :smile:.png" in outcome.out.replace("\n", "")


def test_explain_shows_wires_costs_and_what_learned(run: Path) -> None:
    told = json.loads(convgraft("explain", run, "--json").out)
    assert len(told["wires"]) == 6
    assert told["weights"] == sum(p.numel() for p in cg.load(run).composite.parameters())
    assert {row["rates"][0] for row in told["learns"]} == {0.1, 1.0}
    frozen = json.loads(convgraft("explain", run, "--freeze", "heads-only", "--json").out)
    assert sum(row["learn"] for row in frozen["learns"]) == told["heads"][0]["weights"]


def test_a_run_is_weights_for_another_fit(run: Path, pictures: Path, tmp_path: Path) -> None:
    one, other = f"cifar_resnet20@{run}#a", f"cifar_resnet20@{run}/baselines/probe-b"
    outcome = convgraft(
        "fit", pictures, "--models", one, other, "--strategy", "parallel", "--image-size", 16,
        "--epochs", 1, "--batch-size", 8, "--freeze", "heads-only", "--out", tmp_path / "two",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    trained, reused = cg.load(run).composite, cg.load(tmp_path / "two").composite
    name = "sources.a.layer1.0.conv1.weight"
    assert torch.equal(trained.state_dict()[name], reused.state_dict()[name])


def test_fit_takes_a_plan_file(pictures: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "image_size: 16\n"
        "sources: {x: cifar_resnet20, y: cifar_resnet20}\n"
        "wires: [{from: x:layer2, to: y:layer2, join: gate, adapter: identity}]\n"
        "heads: {label: {kind: linear, from: [y:features]}}\n"
    )
    outcome = convgraft(
        "fit", pictures, "--plan", plan, "--epochs", 1, "--batch-size", 8, "--out", tmp_path / "r"
    )
    assert outcome.code == 0, outcome.err
    assert cg.load(tmp_path / "r").plan.wires[0].join == "gate"


def test_a_broken_image_is_named_and_left_out_unless_strict(pictures: Path, tmp_path: Path) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    (data / "red" / "00.png").write_bytes(b"")
    common = ["--models", "cifar_resnet20", "--strategy", "probe", "--image-size", 8,
              "--epochs", 1, "--batch-size", 8]  # fmt: skip
    outcome = convgraft("fit", data, *common, "--out", tmp_path / "lenient")
    assert outcome.code == 0, outcome.err
    assert "red/00.png" in outcome.err
    strict = convgraft("fit", data, *common, "--out", tmp_path / "strict", "--strict")
    assert strict.code == 2
    assert "red/00.png" in strict.err


def test_two_random_networks_of_one_kind_are_two_networks(run: Path) -> None:
    state = cg.load(run / "baselines" / "average-probe").composite.state_dict()
    name = "layer1.0.conv1.weight"
    assert not torch.equal(state[f"sources.a.{name}"], state[f"sources.b.{name}"])


def test_the_fine_tunes_are_as_free_as_the_join(pictures: Path, tmp_path: Path) -> None:
    outcome = convgraft(
        "fit", pictures, "--models", "cifar_resnet20", "cifar_resnet20", "--image-size", 8,
        "--epochs", 1, "--batch-size", 8, "--freeze", "all", "--baselines", "--out", tmp_path / "r",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert cg.load(tmp_path / "r" / "baselines" / "finetune-a").metrics["freeze"]["name"] == "all"
    assert cg.load(tmp_path / "r" / "baselines" / "probe-a").metrics["freeze"]["name"] != "all"


def test_other_images_than_the_runs_are_measured_whole_and_told(
    run: Path, pictures: Path, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(pictures, tmp_path / "more")
    shutil.copy(tmp_path / "more" / "red" / "00.png", tmp_path / "more" / "red" / "zz.png")
    outcome = convgraft("evaluate", run, tmp_path / "more", "--json")
    assert json.loads(outcome.out)["part"] == "all images"
    assert "its split does not apply" in outcome.err


def test_overwrite_removes_a_run_and_nothing_else(pictures: Path, tmp_path: Path) -> None:
    command = [
        "fit", pictures, "--models", "cifar_resnet20", "--strategy", "probe", "--image-size", 8,
        "--epochs", 1, "--batch-size", 8, "--out", tmp_path / "r", "--overwrite",
    ]  # fmt: skip
    assert convgraft(*command).code == 0
    assert convgraft(*command).code == 0
    (tmp_path / "r" / "thesis.tex").write_text("my life")
    assert convgraft(*command).code == 2
    assert (tmp_path / "r" / "thesis.tex").read_text() == "my life"


def test_wrong_use_leaves_no_trace_in_the_folder(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    command = ["fit", pictures, "--models", "cifar_resnet20", "--strategy", "probe",
               "--image-size", 8, "--epochs", 1, "--out", out]  # fmt: skip
    assert convgraft(*command, "--batch-size", 1).code == 2
    assert not out.exists()
    assert convgraft(*command, "--batch-size", 8).code == 0


PATIENCE = 500  # seconds, on a busy machine
MANY = 100_000  # epochs: the fit does not end before it is stopped
WAITS = """
import sys, time
from pathlib import Path
from convgraft.cli.main import main
from convgraft.training.stopping import Checkpoint

ended, epochs = Checkpoint.on_train_epoch_end, []

def end(self, *arguments):
    ended(self, *arguments)
    epochs.append(1)
    if len(epochs) == 3:
        Path(sys.argv[1]).touch()
        time.sleep(1000)

Checkpoint.on_train_epoch_end = end
main(sys.argv[2:])
"""


def start_fit(
    pictures: Path, out: Path, epochs: int = MANY, begin: tuple[object, ...] = ("-m", "convgraft")
) -> subprocess.Popen[str]:
    command = [
        sys.executable, *begin, "fit", pictures, "--models", "cifar_resnet20",
        "cifar_resnet20", "--image-size", "16", "--epochs", str(epochs), "--batch-size", "8",
        "--out", out,
    ]  # fmt: skip
    return subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_loadable_artifact(number: int, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start_fit(pictures, out)
    wait_for(process, out, "state/checkpoints/*.ckpt")
    process.send_signal(number)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "goes on from the last checkpoint" in told
    assert "Traceback" not in told
    assert cg.load(out).metrics["finished"] is False


def test_ctrl_c_in_a_baseline_keeps_the_join(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convgraft.training.stopping import Interrupted, StopWhenAsked

    ended: list[int] = []

    def stop_in_the_second_arm(self: StopWhenAsked, *args: object) -> None:
        ended.append(id(self))
        if len(set(ended)) > 1:
            raise Interrupted

    monkeypatch.setattr(StopWhenAsked, "on_step_end", stop_in_the_second_arm)
    command = [
        "fit", pictures, "--models", "cifar_resnet20", "cifar_resnet20", "--strategy", "parallel",
        "--image-size", 8, "--epochs", 1, "--batch-size", 8, "--baselines", "--out", tmp_path / "r",
    ]  # fmt: skip
    outcome = convgraft(*command)
    assert outcome.code == 1
    assert "parallel, as far as it came, is saved" in outcome.err
    assert cg.load(tmp_path / "r").metrics["arm"] == "parallel"
    assert (tmp_path / "r" / "split.csv").is_file()
    monkeypatch.undo()
    again = convgraft(*command)
    assert again.code == 0, again.err
    assert cg.load(tmp_path / "r").metrics["finished"] is True


@pytest.mark.slow
def test_a_killed_fit_goes_on_and_ends_in_the_same_weights(pictures: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start_fit(pictures, whole, epochs=12).wait(PATIENCE) == 0
    waits = ("-c", WAITS, tmp_path / "waits")
    process = start_fit(pictures, killed, epochs=12, begin=waits)
    wait_for(process, tmp_path, "waits")
    process.kill()
    process.wait()
    again = start_fit(pictures, killed, epochs=12)
    _, told = again.communicate(timeout=PATIENCE)
    assert "going on with the unfinished run" in told
    ours, theirs = (cg.load(folder).composite.state_dict() for folder in (whole, killed))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
