"""What a run's plan may not ask for, and that it is refused before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from convgraft.errors import ArtifactError
from convgraft.export.foreign import check_asked, check_size
from convgraft.plan import Head, Plan, SourceRef, TapRef

FOLDER = Path("runs/x")
FEATURES = (TapRef("a", "features"),)


def plan_of(network: str, depth: int = 0, **options: int) -> Plan:
    plan = Plan(8, (SourceRef("a", network, **options),))
    for _ in range(depth):
        plan = Plan(8, (SourceRef("a", "gone", plan=plan),))
    return plan


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("before", ["", " ", "\t", "\n", "\xa0"])
def test_code_is_refused_however_it_is_spelled(depth: int, before: str) -> None:
    plan = plan_of(f"{before}python:os:getcwd", depth)
    with pytest.raises(ArtifactError, match=r"python:os:getcwd|names no network"):
        check_asked(plan, FOLDER)


def test_code_that_is_trusted_may_be_named() -> None:
    check_asked(plan_of("python:os:getcwd", 1), FOLDER, trust_python=True)


@pytest.mark.parametrize("network", ["runs/y", "run:runs/y", "../y", "/y", "x" * 10_000, ""])
@pytest.mark.parametrize("depth", [0, 1])
def test_other_runs_are_not_opened(network: str, depth: int) -> None:
    with pytest.raises(ArtifactError, match="names no network"):
        check_asked(plan_of(network, depth), FOLDER, trust_python=True)


def test_a_folder_of_a_networks_name_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_asked(plan_of("cifar_resnet20"), FOLDER)
    Path("cifar_resnet20").mkdir()
    Path("cifar_resnet20/plan.yaml").touch()
    with pytest.raises(ArtifactError, match="another run"):
        check_asked(plan_of("cifar_resnet20"), FOLDER)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(10**9, (SourceRef("a", "cifar_resnet20"),)),
        plan_of("cifar_resnet20", classes=10**9),
        plan_of("cifar_resnet20", classes=0),
        plan_of("cifar_resnet20", depth=1, size=10**6),
        Plan(8, (), heads=(Head("label", "mlp", FEATURES, 3, (10**8,)),)),
        Plan(8, (), heads=(Head("label", "mlp", FEATURES, 3, (1,) * 5000),)),
        Plan(8, (SourceRef("a", "cifar_resnet20"),) * 5000),
    ],
    ids=["side", "classes", "none", "size", "width", "layers", "sources"],
)
def test_amounts_that_fill_the_memory_are_refused(plan: Plan) -> None:
    with pytest.raises(ArtifactError, match=r"asks for|too many"):
        check_asked(plan, FOLDER)


def test_what_moves_the_cursor_is_not_told_as_it_is() -> None:
    with pytest.raises(ArtifactError) as caught:
        check_asked(plan_of("\x1b[2J"), FOLDER)
    assert "\x1b" not in str(caught.value) and "x1b[2J" in str(caught.value)


def test_files_are_measured_before_they_are_read(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    check_size(file)
    file.touch()
    check_size(file)
    with file.open("rb+") as opened:
        opened.truncate(10**9)
    with pytest.raises(ArtifactError, match="too large"):
        check_size(file)
    file.unlink()
    file.symlink_to("/dev/zero")
    with pytest.raises(ArtifactError, match="not a file"):
        check_size(file)
