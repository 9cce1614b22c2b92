"""A finished run's folder that somebody names as a source.

    runs/x           the run in that folder; `run:runs/x` says that it must be one
    runs/outer#x     the run that became source `x` of another one, as it was trained there

Its files are read here; `convgraft.opening.by_name` makes a source of what they say.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convgraft.errors import ConvgraftError, SourceError, near_miss
from convgraft.plan import Plan, read_plan
from convgraft.sources.registry import BUILT_IN
from convgraft.sources.weights import RUN_WEIGHTS, WeightsFile

RUN_PREFIX = "run:"
RUN_PLAN = "plan.yaml"
RUN_FILES = (RUN_WEIGHTS, RUN_PLAN, "labels.json", "metrics.json")
LIBRARIES = ("torchvision/", "timm/", "filters/", "python:")


@dataclass(frozen=True)
class NamedRun:
    """A folder that somebody names as a source, and which of the runs within it is meant.

    Attributes:
        spec: as it was named.
        inner: the source of the run that is meant; empty: the run itself.
    """

    spec: str
    folder: Path
    inner: str

    @property
    def weights(self) -> WeightsFile:
        """Its weights: all of them, or those of the inner run as the outer one trained it."""
        return WeightsFile(self.folder / RUN_WEIGHTS, self.inner or None)

    def read(self) -> Plan:
        """Its plan; raises SourceError where it is not a finished run."""
        missing = [name for name in RUN_FILES if not (self.folder / name).is_file()]
        if missing:
            raise SourceError(
                f'"{self.spec}" is not a finished run',
                expected=f"a folder with {', '.join(RUN_FILES)}",
                found=f"no {', no '.join(missing)}",
                hint="run its fit again: it goes on where it stopped",
            )
        try:
            plan = read_plan(self.folder / RUN_PLAN)
        except ConvgraftError as error:
            raise SourceError(
                f'the plan of the run "{self.spec}" cannot be read', found=str(error)
            ) from error
        if self.weights.metadata.get("convgraft_plan") != plan.hash:
            raise SourceError(f'"{self.spec}": {RUN_PLAN} and {RUN_WEIGHTS} do not belong together')
        return self._inner_plan(plan) if self.inner else plan

    def _inner_plan(self, plan: Plan) -> Plan:
        ref = plan.source(self.inner)
        if ref is not None and ref.plan is not None:
            return ref.plan
        if ref is not None:
            raise SourceError(
                f'source "{self.inner}" of the run "{self.folder}" is not itself a run',
                hint=f"{ref.network.partition('@')[0]}@{self.folder}#{self.inner}",
            )
        names = [ref.name for ref in plan.sources]
        raise SourceError(
            f'run {self.folder} has no source "{self.inner}"',
            expected=", ".join(names),
            hint=near_miss(self.inner, names),
        )


def find_run(spec: str) -> NamedRun | None:
    """The run that a text names; None where it names none."""
    location, _, inner = spec.removeprefix(RUN_PREFIX).partition("#")
    folder = Path(location).expanduser()
    is_folder = bool(location) and _is_folder(folder)
    is_network = spec in BUILT_IN or spec.startswith(LIBRARIES)
    is_run = is_folder and ((folder / RUN_PLAN).is_file() or not is_network)
    return NamedRun(spec, folder, inner) if is_run or spec.startswith(RUN_PREFIX) else None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long for one
        return False
