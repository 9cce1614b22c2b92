"""The command that asks for a run or a study again, as far as its notes tell it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.studies import STUDIES
from convgraft.training import PRESETS

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


def run_command(metrics: Mapping[str, Any]) -> tuple[str, str]:
    """The command, and where it comes from; both empty where the notes do not tell it."""
    if "command" in metrics:
        return _told(metrics["command"]), RECORDED
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


def study_command(config: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The same of a study; its data has no recorded place, only a fingerprint."""
    if "command" in config:
        return _told(config["command"]), RECORDED
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


def _told(command: Any) -> str:
    return command if isinstance(command, str) else _line(command)


def _line(parts: Sequence[Any]) -> str:
    return shlex.join(map(str, parts))
