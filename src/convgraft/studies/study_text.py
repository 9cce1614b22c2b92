"""A study file written back, and two of them as one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from convgraft.plan.located import write_yaml
from convgraft.studies.design_text import design_data
from convgraft.studies.seeds import seeds_data
from convgraft.studies.study_file import StudyFile
from convgraft.studies.study_reader import ALL

_BUDGET = "budget_seconds"


def study_to_yaml(file: StudyFile) -> str:
    """The study as YAML; what is not said is left out, baselines and epochs are always said.

    `study_from_yaml` gives the same study.
    """
    options = {key: value for key, value in file.options.items() if value is not None}
    budget = options.pop(_BUDGET, None)
    if "optimiser" in options:
        options["optimizer"] = options.pop("optimiser")
    counts = set(file.epochs.values())
    by_limit = {limit or ALL: file.epochs[limit] for limit in file.limits}
    data: dict[str, Any] = {
        "study": file.name,
        "question": file.question,
        "data": file.data,
        "target": list(file.target),
        "label_map": file.label_map,
        "models": dict(file.models),
        "arms": [design_data(design) for design in file.arms],
        "baselines": list(file.baselines),
        "image_size": file.image_size,
        "limits": [limit or ALL for limit in file.limits],
        "seeds": seeds_data(file.seeds),
        "epochs": by_limit if len(counts) > 1 else next(iter(counts)),
        "freeze": file.freeze,
        "training": options,
        _BUDGET: budget,
    }
    return write_yaml({key: one for key, one in data.items() if one or key == "baselines"})


def merged(there: StudyFile, new: StudyFile) -> StudyFile:
    """The new study with what the other one has beside it: arms, baselines, limits and seeds."""
    named = {design.name for design in new.arms}
    limits = tuple(dict.fromkeys((*there.limits, *new.limits)))
    return replace(
        new,
        arms=(*(design for design in there.arms if design.name not in named), *new.arms),
        baselines=tuple(dict.fromkeys((*there.baselines, *new.baselines))),
        limits=tuple(sorted(limits, key=lambda limit: (limit is None, limit or 0))),
        seeds=tuple(sorted({*there.seeds, *new.seeds})),
        epochs={**there.epochs, **new.epochs},
    )
