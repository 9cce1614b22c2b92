"""What the rows' own networks learn before they are joined: each once, from scratch."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convgraft.cache import Cache
from convgraft.data import ImageSet
from convgraft.errors import ArtifactError, RunError
from convgraft.opening import open_network
from convgraft.strategies import Ingredients
from convgraft.studies.cell import Report
from convgraft.studies.design import Design, build_arm
from convgraft.studies.paper.material import read_material
from convgraft.studies.paper.places import Places
from convgraft.studies.paper.scales import Amount, Scale
from convgraft.studies.results import Row, measure_row
from convgraft.studies.trained import Trained, train_arm
from convgraft.training import FitOptions, Task

NOTES = "metrics.json"  # of a run; the last file that is written


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A network that has learned, before it is saved."""

    trained: Trained
    row: Row
    task: Task


@dataclass(frozen=True, eq=False)
class Pretraining:
    """One network that learns from scratch.

    Attributes:
        name: as rows call what it has learned.
        size: side in pixels of its images.
        folder: of the run that it becomes.
    """

    name: str
    architecture: str
    images: ImageSet
    amount: Amount
    size: int
    options: FitOptions
    folder: Path
    scale: str
    cache: Cache | None = None

    @property
    def work(self) -> float:
        """As `RowRun.work`."""
        images = self.amount.train or len(self.images)
        pace = read_material().networks[self.architecture].pace
        return images * self.amount.epochs * pace * self.size**2

    @property
    def facts(self) -> dict[str, Any]:
        """What makes this run this one, as plain data."""
        return {
            "network": self.architecture,
            "data": self.images.fingerprint,
            "scale": self.scale,
            "size": self.size,
            "seed": self.options.seed,
            "amount": vars(self.amount),
        }

    @property
    def is_done(self) -> bool:
        """Whether the run lies there; raises ArtifactError where it is another one."""
        path = self.folder / NOTES
        if not path.is_file():
            return False
        try:
            found = json.loads(path.read_text(encoding="utf-8")).get("pretraining")
        except (OSError, ValueError) as error:
            raise ArtifactError(f'"{path}" cannot be read', found=str(error)) from error
        if found != self.facts:
            raise ArtifactError(
                f'"{self.folder}" learned something else',
                expected=json.dumps(self.facts),
                found=json.dumps(found),
                hint="another --out",
            )
        return True

    def train(self, report: Report) -> Pretrained:
        """Train it, choose its epoch on validation, test it once; raises RunError where stopped.

        The same call goes on from the last checkpoint.
        """
        split = self.amount.split(self.images, self.options.seed)
        task = Task(self.images, split, self.size, cache=self.cache, on_progress=report)
        network = open_network(self.architecture, classes=len(task.classes), seed=self.options.seed)
        given = Ingredients({"a": network}, self.size, len(task.classes))
        arm = build_arm(Design("finetune", freeze="all", name=self.folder.name), given)
        checkpoint = self.folder.with_suffix(".ckpt")
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        trained = train_arm(
            arm,
            task,
            self.options,
            checkpoint=checkpoint,
            on_progress=lambda done, total: report(f"pretrain {self.name}", done, total),
        )
        if not trained.notes["finished"]:
            raise RunError(
                f"stopped while pretraining {self.folder.name}",
                hint="the same command goes on from the last checkpoint",
            )
        notes = trained.notes
        row = measure_row(
            arm.name,
            trained.composite,
            task,
            seconds=notes["seconds"],
            val=notes["val"],
            trainable=notes["trainable"],
        )
        return Pretrained(trained, row, task)

    def forget_state(self) -> None:
        """Remove its checkpoint, once the run is saved."""
        self.folder.with_suffix(".ckpt").unlink(missing_ok=True)


def plan_pretraining(
    architecture: str, name: str, scale: Scale, places: Places, *, cache: Cache | None
) -> Pretraining:
    """How an architecture learns what rows call by that name."""
    material = read_material()
    earlier = material.pretraining[name]
    amount = scale.pretraining[earlier.data]
    options = FitOptions(**{"augment": material.images[earlier.data].augment, **scale.training})
    return Pretraining(
        name,
        architecture,
        places.images(earlier.data),
        amount,
        scale.sizes[architecture],
        replace(options, epochs=amount.epochs, seed=earlier.seed),
        places.pretrained(architecture, name),
        scale.name,
        cache,
    )
