"""Where image sets, weights and results lie, and what of it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from convgraft.data import ImageSet, open_images
from convgraft.errors import UsageError
from convgraft.studies.paper.material import IMAGENET, read_material
from convgraft.studies.paper.scales import Scale
from convgraft.studies.paper.table_rows import PaperRow

HINT = (
    "--data DIR or CONVGRAFT_DATA, --weights DIR or CONVGRAFT_WEIGHTS; docs/reproduce.md says what "
    "they hold"
)


@dataclass(frozen=True)
class Model:
    """One network of a row, as it is run.

    Attributes:
        asked: the architecture that the paper has.
        architecture: the one that runs.
        before: what it learned before: `imagenet`, or a name of the pretraining.
        weights: its ImageNet weights, or the run in which it learned.
        size: side in pixels of its images.
    """

    asked: str
    architecture: str
    before: str
    weights: Path
    size: int

    @property
    def spec(self) -> str:
        """`ARCH@WEIGHTS`."""
        return f"{self.architecture}@{self.weights}"

    @property
    def name(self) -> str:
        """For people, and whether it stands in for another one."""
        known = read_material().networks
        own = known[self.architecture].name
        if self.architecture == self.asked:
            return own
        return f"{own} in place of {known[self.asked].name}"


@dataclass(frozen=True)
class Places:
    """The folders that a reproduction reads and writes; None where nobody said."""

    data: Path | None
    weights: Path | None
    out: Path
    _opened: dict[str, ImageSet] = field(default_factory=dict, compare=False, repr=False)

    def images(self, name: str) -> ImageSet:
        """An image set of the material, opened once.

        Raises UsageError or DataError where it is not there.
        """
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def _open(self, name: str) -> ImageSet:
        facts = read_material().images[name]
        path = self._set(name)
        if path is None or not path.exists():
            raise missing([_looked_for_set(self.data, facts.place)])
        return open_images(path, target=facts.target or None)

    def models(self, row: PaperRow, scale: Scale) -> tuple[Model, ...]:
        """The networks of a row; raises UsageError where there are no weights for one."""
        found = [self._model(text, scale) for text in row.models]
        lacking = [one for one in found if isinstance(one, str)]
        if lacking:
            raise missing(lacking)
        return tuple(one for one in found if isinstance(one, Model))

    def pretrained(self, architecture: str, before: str) -> Path:
        """The run in which an architecture learned before it is joined."""
        return self.out / "pretrained" / f"{architecture}-{before}"

    def study(self, row: PaperRow) -> Path:
        """The folder of the study that fills a row."""
        return self.out / row.run_as.partition("-")[0] / row.run_as

    def check(self, rows: Sequence[PaperRow], scale: Scale, sets: Sequence[str] = ()) -> None:
        """Whether all is there that rows, and `sets` beside them, need.

        Raises UsageError with everything that is missing, and where it was looked for.
        """
        named = dict.fromkeys(name for row in rows for name in needed_sets(row))
        known = read_material().images
        lacking = [
            _looked_for_set(self.data, known[name].place)
            for name in dict.fromkeys([*named, *sets])
            if (path := self._set(name)) is None or not path.exists()
        ]
        models = [self._model(text, scale) for row in rows for text in row.models]
        lacking += dict.fromkeys(one for one in models if isinstance(one, str))
        if lacking:
            raise missing(lacking)

    def _set(self, name: str) -> Path | None:
        facts = read_material().images[name]
        return None if self.data is None else self.data.expanduser() / facts.place

    def _model(self, text: str, scale: Scale) -> Model | str:
        """A network, or what was looked for in vain."""
        asked, _, before = text.partition("@")
        if before != IMAGENET:
            size = scale.sizes[asked]
            return Model(asked, asked, before, self.pretrained(asked, before), size)
        stand_in = read_material().networks[asked].stand_in
        tried = [asked, stand_in] if stand_in else [asked]
        for architecture in tried:
            path = self._imagenet(architecture)
            if path is not None and path.is_file():
                return Model(asked, architecture, before, path, scale.sizes[architecture])
        names = " or ".join(_file(architecture) for architecture in tried)
        return f"{names} in {self.weights or 'a folder of weights'}"

    def _imagenet(self, architecture: str) -> Path | None:
        return self.weights.expanduser() / _file(architecture) if self.weights else None


def needed_sets(row: PaperRow) -> list[str]:
    """The image sets that a row needs: its own, and those that its networks learned before."""
    earlier = read_material().pretraining
    return [row.data, *(earlier[before].data for _, before in pretrained_in(row))]


def pretrained_in(row: PaperRow) -> list[tuple[str, str]]:
    """Architecture and name of the pretraining, of a row's networks that learn before."""
    pairs = [text.partition("@")[::2] for text in row.models]
    return [(architecture, before) for architecture, before in pairs if before != IMAGENET]


def missing(lacking: Sequence[str]) -> UsageError:
    """An error that says what was looked for, and where."""
    return UsageError(
        "images or weights that this needs are not there",
        expected="\n    ".join(lacking),
        hint=HINT,
    )


def _looked_for_set(folder: Path | None, place: str) -> str:
    return f"{place} in {folder or 'a folder of data'}"


def _file(architecture: str) -> str:
    return f"{architecture.rpartition('/')[2]}-{IMAGENET}.safetensors"
