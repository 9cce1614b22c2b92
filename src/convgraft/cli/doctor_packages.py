"""What convgraft asks of other packages, by its own metadata, and what is installed of that."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

TOLD = ("torch", "torchvision", "lightning", "torchmetrics", "safetensors", "pillow", "numpy")
GATHERING = ("all", "dev", "docs")  # extras that gather others, or are for who works on convgraft


def versions() -> list[tuple[str, str]]:
    """The packages that matter most for results, with their versions, as far as they are there."""
    found = [(name, installed(name)) for name in TOLD]
    return [(name, number) for name, number in found if number]


def installed(name: str) -> str:
    """The version of a package; empty where it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def unfit_packages() -> Iterator[tuple[str, str, str]]:
    """Name, version and what is asked for, of each needed package that is not as it should be."""
    for name, wanted, extra in asked_for():
        found = installed(name)
        if not extra and not _fits(found, wanted):
            yield name, found, wanted


def missing_by_extra() -> dict[str, list[str]]:
    """By extra, the packages of it that are not installed, or are too old or too new."""
    found: dict[str, list[str]] = {}
    for name, wanted, extra in asked_for():
        if extra and extra not in GATHERING and not _fits(installed(name), wanted):
            found.setdefault(extra, []).append(f"{name}{wanted}")
    return found


def asked_for() -> Iterator[tuple[str, str, str]]:
    """Name, range of versions, and extra (empty for none) of all that convgraft asks for here."""
    from packaging.requirements import Requirement

    for line in _requires():
        one = Requirement(line)
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            yield one.name, str(one.specifier), ""
            continue
        extra = line.rpartition("extra ==")[2].strip(" \"')")
        if one.marker.evaluate({"extra": extra}):
            yield one.name, str(one.specifier), extra


def _requires() -> list[str]:
    try:
        return requires("convgraft") or []
    except PackageNotFoundError:  # run from its source, without an installation
        return []


def _fits(found: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return bool(found) and SpecifierSet(wanted).contains(found, prereleases=True)
