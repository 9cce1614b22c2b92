"""What `convgraft doctor` looks at, each a finding: fine, to be noted, or to be mended first."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from convgraft import __version__
from convgraft.cli.doctor_packages import missing_by_extra, unfit_packages, versions
from convgraft.errors import ConvgraftError

FINE, NOTE, FAULT = "fine", "note", "to mend"
LEAST_DISK = 5 * 10**9  # bytes below which a fit with stored features may not find room
LEAST_MEMORY = 4 * 10**9
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        state: `FINE`, `NOTE` or `FAULT`.
        todo: what to do about it; empty where there is nothing to do.
    """

    what: str
    found: str
    state: str = FINE
    todo: str = ""


def all_findings(data: str | None = None, weights: str | None = None) -> list[Finding]:
    """Everything there is to say of this machine, and of these images and this weights folder."""
    found = [python(), *packages(), vision(), *extras(), *devices(), memory(), *disks(), cache()]
    found.append(weight_files(weights))
    return [*found, images(data)] if data else found


def python() -> Finding:
    """convgraft, the interpreter and the system."""
    told = f"convgraft {__version__}, Python {platform.python_version()}, {platform.platform()}"
    return Finding("python", told)


def packages() -> Iterator[Finding]:
    """What convgraft cannot do without."""
    yield Finding("packages", ", ".join(f"{name} {version}" for name, version in versions()))
    for name, found, wanted in unfit_packages():
        hint = f"pip install '{name}{wanted}'"
        yield Finding(name, found or "not installed", FAULT, hint)


def vision() -> Finding:
    """Whether torch and torchvision are of one another."""
    try:
        import torchvision.ops

        torchvision.ops.nms  # noqa: B018 - an operator that a build for another torch lacks
    # whatever a library says that does not fit
    except Exception as error:
        told = f"torchvision cannot be imported: {str(error).splitlines()[0]}"
        hint = "a torch and a torchvision of the same release, from the same package index"
        return Finding("torchvision", told, FAULT, hint)
    return Finding("torchvision", "fits torch")


def extras() -> Iterator[Finding]:
    """What can be installed beside it."""
    missing = missing_by_extra()
    if not missing:
        yield Finding("extras", "all of them are installed")
    for extra, names in missing.items():
        hint = f"for that: pip install 'convgraft[{extra}]'"
        yield Finding(f"extra {extra}", f"lacks {', '.join(names)}", NOTE, hint)


def devices() -> Iterator[Finding]:
    """Processors, and GPUs where there are some."""
    import torch

    threads = os.environ.get("OMP_NUM_THREADS")
    told = f"{os.cpu_count()} cores, {torch.get_num_threads()} used at once"
    yield Finding("processor", told + (f" (OMP_NUM_THREADS={threads})" if threads else ""))
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(number)
            yield Finding("gpu", f"{found.name}, {_gigabytes(found.total_memory)}")
    elif torch.backends.mps.is_available():
        yield Finding("gpu", "Apple, by Metal")
    else:
        hint = "heads on frozen networks train well without; for whole networks see docs/scale.md"
        yield Finding("gpu", "none that torch can use", NOTE, hint)


def memory() -> Finding:
    """Of the whole machine."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return Finding("memory", "not told by this system", NOTE)
    if total < LEAST_MEMORY:
        hint = "a small --image-size and --batch-size"
        return Finding("memory", _gigabytes(total), NOTE, hint)
    return Finding("memory", _gigabytes(total))


def disks() -> Iterator[Finding]:
    """Room where results and temporary files go."""
    for what, folder in (("this folder", Path.cwd()), ("temporary", Path(tempfile.gettempdir()))):
        yield _room(f"disk, {what}", folder)


def cache() -> Finding:
    """The store of decoded pixels and of what frozen networks make of them."""
    from convgraft.cache import default_cache

    try:
        store = default_cache()
    except ConvgraftError as error:
        return Finding("store", str(error), FAULT, "set CONVGRAFT_CACHE to a folder of yours")
    room = _room("store", store.folder)
    told = f"{store.folder}, up to {_gigabytes(store.limit)}, {room.found}"
    return Finding("store", told, room.state, room.todo)


def weight_files(folder: str | None) -> Finding:
    """Pretrained weights that are here already."""
    import torch

    places = [Path(torch.hub.get_dir()) / "checkpoints", _hugging_face()]
    if folder:
        places.insert(0, Path(folder).expanduser())
    counted = {place: _weights_below(place) for place in places}
    if folder and not counted[places[0]]:
        hint = "a folder with NAME-imagenet.safetensors, or none"
        return Finding("weights", f"none in {places[0]}", FAULT, hint)
    there = [f"{count} in {place}" for place, count in counted.items() if count]
    if not there:
        hint = "ARCH@FILE takes a file that you have; ARCH@DEFAULT downloads, where you ask for it"
        return Finding("weights", "none so far", NOTE, hint)
    return Finding("weights", ", ".join(there))


def images(location: str) -> Finding:
    """Whether images can be opened, and how many there are."""
    from convgraft.data import open_images

    try:
        found = open_images(location)
    except ConvgraftError as error:
        return Finding("data", str(error), FAULT)
    told = f"{len(found)} images of {len(found.classes)} classes in {location}"
    return Finding("data", told, todo=f"convgraft init {shlex.quote(location)} looks closer")


def _room(what: str, folder: Path) -> Finding:
    while not folder.exists():  # what is made when it is first needed
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        return Finding(what, f"{folder} cannot be written", NOTE, "results go to --out elsewhere")
    if free < LEAST_DISK:
        return Finding(what, f"{_gigabytes(free)} free", NOTE, "room for results and features")
    return Finding(what, f"{_gigabytes(free)} free")


def _hugging_face() -> Path:
    named = os.environ.get("HF_HOME")
    home = Path(named) if named else Path.home() / ".cache" / "huggingface"
    return home / "hub"


def _weights_below(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    return sum(path.suffix in WEIGHT_SUFFIXES for path in folder.rglob("*"))


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
