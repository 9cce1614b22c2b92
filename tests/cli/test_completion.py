"""What a shell completes: commands, options, choices and networks, by its own rules and soon."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import timm
from torchvision import models

from convgraft.cli import completion
from convgraft.cli.main import spread_values
from convgraft.data import AUGMENTATIONS
from convgraft.layers import FUSIONS
from convgraft.sources.registry import BUILT_IN
from convgraft.strategies import LOSSES, STRATEGIES
from convgraft.studies.presets import STUDIES
from convgraft.training import PRESETS

MOST_SECONDS = 1.5  # of a processor, for one press of the key


def test_choices_are_those_that_there_are() -> None:
    assert list(STRATEGIES) == completion.STRATEGIES
    assert set(completion.PRESETS) == set(PRESETS)
    assert set(completion.LOSSES) == set(LOSSES)
    assert set(completion.FUSIONS) == set(FUSIONS)
    assert set(completion.STUDIES) == set(STUDIES)
    assert set(completion.AUGMENTATIONS) == {"auto", *AUGMENTATIONS}
    assert set(completion.BUILT_IN) == set(BUILT_IN)


def test_networks_read_off_the_source_are_those_that_the_libraries_have() -> None:
    assert set(completion.architectures("torchvision.models")) == set(
        models.list_models(module=models)
    )
    assert set(completion.architectures("timm.models")) == set(timm.list_models())
    assert completion.architectures("no_such_library.models") == []


def test_networks_are_told_in_steps() -> None:
    assert {"timm/", "torchvision/", "cifar_resnet20"} <= set(completion.networks(""))
    assert completion.networks("t") == ["torchvision/", "timm/"]
    assert completion.networks("torchv") == completion.networks("torchvision/")
    assert completion.networks("torchvision/squeeze") == [
        "torchvision/squeezenet1_0",
        "torchvision/squeezenet1_1",
    ]
    assert completion.networks("runs/") == []


Ask = Callable[[str], Sequence[str]]


@pytest.fixture
def bash(tmp_path: Path) -> Ask:
    """What bash offers after a line, once it has read the script that is to be installed."""
    program = shutil.which("bash")
    if program is None:
        pytest.skip("there is no bash here")
    own = tmp_path / "convgraft"
    own.write_text(f"#!{sys.executable}\nfrom convgraft.cli.main import main\n\nmain()\n")
    own.chmod(0o755)
    asking = {**os.environ, "_CONVGRAFT_COMPLETE": "source_bash"}
    script = subprocess.run([own], env=asking, capture_output=True, text=True, check=True).stdout

    def ask(line: str) -> Sequence[str]:
        words = line.split(" ")
        told = f"{script}\nCOMP_WORDS=({' '.join(map(repr, words[:-1]))} '{words[-1]}')\n"
        told += f"COMP_CWORD={len(words) - 1}\n_convgraft_completion {own}\n"
        told += 'printf "%s\\n" "${COMPREPLY[@]}"'
        asked = subprocess.run([program, "-c", told], capture_output=True, text=True, check=True)
        return asked.stdout.split()

    return ask


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("convgraft ex", ["explain", "export"]),
        ("convgraft fit --baseli", ["--baselines"]),
        ("convgraft fit digits --strategy c", ["cross-skip", "cascade"]),
        ("convgraft fit digits --freeze l", ["layer-decay", "lp-ft"]),
        ("convgraft fit digits --models cifar_resnet20 cifar_resnet5", ["cifar_resnet56"]),
        ("convgraft fit digits --models a b --strat", ["--strategy", "--strategy-dist"]),
        ("convgraft compare digits --strategies ladder cr", ["cross-skip"]),
        ("convgraft cache ", ["list", "clear", "verify"]),
        ("convgraft fit digits --out ru", []),
    ],
)
def test_bash_offers_what_fits(bash: Ask, line: str, offered: list[str]) -> None:
    assert list(bash(line)) == offered


def test_a_press_of_the_key_is_cheap_and_loads_no_torch(bash: Ask) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "timm/mobilenetv3_small_100" in bash("convgraft taps timm/mobilenetv3")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < MOST_SECONDS


@pytest.mark.parametrize("variable", ["COMP_WORDS", "_TYPER_COMPLETE_ARGS"])
def test_names_with_blanks_stay_one_word(variable: str) -> None:
    line = {variable: "convgraft fit 'my pictures' --models a\\ b c"}
    completion.spread_line(line, spread_values)
    assert line[variable] == "convgraft fit 'my pictures' --models a\\ b --models c"
    assert line["COMP_CWORD"] == "6"
