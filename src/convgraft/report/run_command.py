"""The command that asks for a run or a study again: as it was recorded, or as its notes tell it.

Folders of before commands were recorded have notes alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.studies import STUDIES
from convgraft.training import PRESETS

Call = Mapping[str, Any]  # a command, and the versions that ran it
RECORDED = "The command that made it, as it was recorded."
FROM_NOTES = "Not recorded: written from the notes of the run. "
FLAGS = {
    "epochs": "--epochs",
    "batch_size": "--batch-size",
    "lr": "--lr",
    "weight_decay": "--weight-decay",
    "optimiser": "--optimizer",
    "schedule": "--schedule",
    "label_smoothing": "--label-smoothing",
    "augment": "--augment",
    "views": "--views",
    "patience": "--patience",
    "seed": "--seed",
    "precision": "--precision",
}


def recorded(calls: Sequence[Call]) -> tuple[str, str]:
    """The first and the last of the commands that were recorded, one at least, and words on them.

    >>> recorded([{"command": "convgraft fit A"}, {"command": "convgraft fit A"}])[0]
    'convgraft fit A'
    """
    different = len({call["command"] for call in calls})
    shown = dict.fromkeys((calls[0]["command"], calls[-1]["command"]))
    words = RECORDED
    if different > 1:
        words = f"{different} different commands made it, one after another. "
        words += "These are the first and the last" if len(shown) > 1 else "This is the last"
        words += ", as they were recorded; command.json has all of them."
    elif len(calls) > 1:
        words = f"{RECORDED} It went on where it had been stopped: {len(calls)} calls."
    return "\n".join(shown), words


def made_with(calls: Sequence[Call]) -> tuple[tuple[str, str], ...]:
    """The versions that ran the calls, those of the first one first."""
    told: dict[str, dict[str, None]] = {}
    for call in calls:
        for name, version in call.get("versions", {}).items():
            told.setdefault(name, {})[str(version)] = None
    return tuple((f"{name} that made it", ", then ".join(found)) for name, found in told.items())


def run_command(metrics: Mapping[str, Any], calls: Sequence[Call] = ()) -> tuple[str, str]:
    """The command, and where it comes from; both empty where nothing tells it.

    Args:
        calls: what was recorded, the first call first.
    """
    if calls:
        return recorded(calls)
    fit, data = metrics.get("fit", {}), metrics.get("data", {})
    freeze = fit.get("freeze")
    if "epochs" not in fit or "location" not in data or metrics.get("loss_name") == "distil":
        return "", ""
    parts = ["convgraft", "fit", data["location"], "--plan", "RUN/plan.yaml"]
    if data.get("target"):
        parts += ["--target", data["target"]]
    counted = sum(data[f"{part}_images"] for part in ("training", "validation", "test"))
    if counted + len(data.get("broken_images", ())) < data["images"]:
        parts += ["--limit", data["training_images"]]
    if metrics.get("loss_name", "task") != "task":
        parts += ["--loss", metrics["loss_name"]]
    parts += ["--freeze", freeze if freeze in PRESETS else "POLICY.yaml"]
    words = (
        f"{FROM_NOTES}It trains the same plan with the same options; which images were in which "
        "part stands in split.csv of the run's folder, RUN."
    )
    return _line([*parts, *_options(fit), "--out", "AGAIN"]), words


def study_command(
    config: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], calls: Sequence[Call] = ()
) -> tuple[str, str]:
    """The same of a study; its notes have no place of its data, only a fingerprint."""
    if calls:
        return recorded(calls)
    if config.get("study") not in STUDIES or not lines:
        return "", ""
    epochs = {line["limit"]: line["epochs"] for line in lines}
    limits = sorted(epochs, key=lambda limit: (limit is None, limit or 0))
    names = {limit: "all" if limit is None else str(limit) for limit in limits}
    parts = ["convgraft", "study", config["study"], "DATA", "--models", *config["models"]]
    parts += ["--limits", *names.values(), "--seeds", 1 + max(line["seed"] for line in lines)]
    parts += ["--epochs", *(f"{names[limit]}={epochs[limit]}" for limit in limits)]
    words = f"{FROM_NOTES}DATA is the image set with the fingerprint below."
    return _line([*parts, *_options(config.get("options", {})), "--out", "AGAIN"]), words


def _options(values: Mapping[str, Any]) -> list[Any]:
    given = {name: values[name] for name in FLAGS if values.get(name) is not None}
    return [part for name, value in given.items() for part in (FLAGS[name], value)]


def _line(parts: Sequence[Any]) -> str:
    return shlex.join(map(str, parts))
