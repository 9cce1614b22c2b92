"""An artifact is a source: a finished run, opened as one network to be combined further.

    runs/x           the run in that folder; `run:runs/x` says that it must be one
    runs/outer#x     the run that became source `x` of another one, as it was trained there
    cifar_resnet20   all else is for `convgraft.sources.source`

A nested network takes the raw image: its own sources' preprocessing is part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, fx, nn

from convgraft.compose.composite import RUN_PREFIX, compose, open_sources
from convgraft.compose.resolve import Resolved
from convgraft.compose.unfold import unfold
from convgraft.errors import ConvgraftError, SourceError, near_miss
from convgraft.plan import Plan, SourceRef, read_plan
from convgraft.sources import Capture, Preprocessing, Source, source
from convgraft.sources.registry import BUILT_IN
from convgraft.sources.weights import RUN_WEIGHTS, WeightsFile, compare_shapes

RUN_PLAN = "plan.yaml"
RUN_FILES = (RUN_WEIGHTS, RUN_PLAN, "labels.json", "metrics.json")
LIBRARIES = ("torchvision/", "timm/", "filters/", "python:")


def open_network(
    spec: str | nn.Module,
    *,
    classes: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    seed: int = 0,
    load: bool = True,
    bare: bool = False,
    trust_python: bool = False,
) -> Source:
    """Make a source from a run's folder, from `ARCH[@WEIGHTS]` or from any `nn.Module`.

    Args:
        spec: a run (see above), or what `convgraft.sources.source` takes.
        classes, mean, std, size, seed, load, bare: as of `convgraft.sources.source`. A run brings
            its own classes, preprocessing and image size; other ones are refused.
        trust_python: allow a run to import `python:` sources, that is, to run their code.

    Raises SourceError where the name, the weights or the network's forward will not do.
    """
    run = None if isinstance(spec, nn.Module) else _find_run(spec.strip())
    if run is None:
        return source(
            spec, classes=classes, mean=mean, std=std, size=size, seed=seed, load=load, bare=bare
        )
    plan = run.read()
    own = preprocessing(plan)
    asked_for = Preprocessing(tuple(mean or own.mean), tuple(std or own.std), size or own.size)
    if asked_for != own:
        raise SourceError(
            f'the run "{run.spec}" has its own preprocessing inside',
            expected=f"{own}, or nothing said",
            found=str(asked_for),
        )
    made = open_plan(plan, run.spec, trust_python=trust_python)
    if bare:
        return made
    made = _with_weights(made, run)
    return made.loaded() if load else made


def preprocessing(plan: Plan) -> Preprocessing:
    """What a nested plan wants its images to be: as they are, at its size."""
    return Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), plan.image_size)


def open_plan(plan: Plan, spec: str, *, trust_python: bool = False) -> Source:
    """The network that a run's plan describes as a source, without weights.

    Raises SourceError where the plan cannot be built, or only by code that is not trusted.
    """
    _refuse_code(plan, spec, trust_python)
    kept = plan.keeping((plan.answer,))
    try:
        composite = compose(kept, open_sources(kept, bare=True, trust_python=trust_python))
    except ConvgraftError as error:
        raise SourceError(f'the run "{spec}" cannot be rebuilt', found=str(error)) from error
    found = unfold(composite, plan.answer)
    module = NestedNetwork(dict(composite.named_children()), found)
    classes = _classes(composite.resolved, plan.answer)
    return Source(spec, module, found, preprocessing(plan), classes, plan.image_size, nested=plan)


def _classes(resolved: Resolved, answer: str) -> int:
    parts = {part.head.name: part for part in resolved.heads}
    if answer not in parts:
        return resolved.checked.sources[answer].classes
    return parts[answer].head.classes or parts[answer].inputs[0][0]


class NestedNetwork(nn.Module):
    """The parts of a composite, giving the logits of its main answer.

    A composite that it is nested in calls the parts one by one and drops what it does not need.
    """

    def __init__(self, parts: dict[str, nn.Module], captured: Capture) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.captured = captured

    def forward(self, image: Tensor) -> Tensor:
        """Images [N, 3, S, S] in [0, 1] to logits [N, classes]."""
        graph = self.captured.graph(self.training).fx
        return fx.Interpreter(self, graph=graph).run(image)


@dataclass(frozen=True)
class _Run:
    """A folder that somebody names as a source, and which of the runs within it is meant."""

    spec: str
    folder: Path
    inner: str

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
        if WeightsFile(self.folder / RUN_WEIGHTS).metadata.get("convgraft_plan") != plan.hash:
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


def _find_run(spec: str) -> _Run | None:
    """The run that a text names; None where it names none."""
    location, _, inner = spec.removeprefix(RUN_PREFIX).partition("#")
    folder = Path(location).expanduser()
    is_folder = bool(location) and _is_folder(folder)
    is_network = spec in BUILT_IN or spec.startswith(LIBRARIES)
    is_run = is_folder and ((folder / RUN_PLAN).is_file() or not is_network)
    return _Run(spec, folder, inner) if is_run or spec.startswith(RUN_PREFIX) else None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long for one
        return False


def _refuse_code(plan: Plan, spec: str, trust_python: bool) -> None:
    """Run no code that the user did not name, and ask for no modules that no name can find."""
    for path, ref in plan.all_sources():
        if ref.plan is not None:
            continue
        if ref.network.strip().startswith("python:") and not trust_python:
            raise SourceError(
                f'the run "{spec}" wants to run Python code: its source "{path}" is {ref.network}',
                hint=f'convgraft.source("{spec}", trust_python=True), if you trust it',
            )
        if ref.network.startswith("module:"):
            raise SourceError(
                f'the run "{spec}" cannot be a source: its source "{path}" was made from an '
                f"nn.Module in Python ({ref.network}), which no name finds",
                hint="make that network by a factory: python:package.module:factory",
            )


def _with_weights(made: Source, run: _Run) -> Source:
    """The source with the run's weights looked at, and still to be loaded."""
    file = WeightsFile(run.folder / RUN_WEIGHTS, run.inner or None)
    own = {name: tuple(tensor.shape) for name, tensor in made.module.state_dict().items()}
    missing, _, differing = compare_shapes(file.shapes, own)
    if differing or (missing and not run.inner):
        raise SourceError(
            f'the weights of the run "{run.spec}" are not of its plan',
            found=f"{len(missing)} missing, {len(differing)} of another shape, "
            f"e.g. {[*missing, *differing][0]}",
        )
    return replace(made, pending=file, absent=tuple(missing))


def source_ref(name: str, opened: Source) -> SourceRef:
    """An opened source as a plan names it, with everything needed to make it again."""
    own = opened.preprocessing
    nested = opened.nested if isinstance(opened.nested, Plan) else None
    return SourceRef(name, opened.spec, opened.classes, own.mean, own.std, own.size, nested)
