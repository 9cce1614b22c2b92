"""What the Hub and its tools look for in a folder: the model card, `config.json`, LFS patterns."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import convgraft
from convgraft.errors import ArtifactError, UsageError
from convgraft.export.artifact import Run
from convgraft.export.card import write_card
from convgraft.export.hub.extra import check_name, hub_library

TASK = "image-classification"
LOCAL = "local"  # the type of an image set that has no name on the Hub
FIGURES = {  # in metrics.json: the metric's id on the Hub, and how people call it
    "top1": ("accuracy", "Top-1 accuracy"),
    "balanced": ("balanced_accuracy", "Balanced accuracy"),
    "nll": ("nll", "Negative log-likelihood"),
    "ece": ("ece", "Expected calibration error"),
}
# as the Hub writes them into every new repository: one that is pushed replaces that file
LFS = (
    *("*.7z", "*.arrow", "*.bin", "*.bz2", "*.ckpt", "*.ftz", "*.gz", "*.h5", "*.joblib"),
    *("*.lfs.*", "*.mlmodel", "*.model", "*.msgpack", "*.npy", "*.npz", "*.onnx", "*.ot"),
    *("*.parquet", "*.pb", "*.pickle", "*.pkl", "*.pt", "*.pth", "*.rar", "*.safetensors"),
    *("saved_model/**/*", "*.tar.*", "*.tar", "*.tflite", "*.tgz", "*.wasm", "*.xz", "*.zip"),
    *("*.zst", "*tfevents*"),
)
GIT_ATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS)
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True)
class CardOptions:
    """What the card should say that the run does not know.

    Attributes:
        title: the heading; the folder's name by default.
        repo: its name on the Hub.
        license: the Hub's id of it, e.g. `apache-2.0`.
        datasets: the Hub's ids of the image sets it was trained on.
    """

    title: str = ""
    repo: str = ""
    license: str | None = None
    datasets: Sequence[str] = ()

    def check(self) -> None:
        """Raise UsageError where something is not a name that the Hub can have."""
        if self.repo:
            check_name(self.repo)
        for name in self.datasets:
            check_name(name, "an image set")
        if self.license is not None and not _LICENSE.fullmatch(self.license):
            raise UsageError(
                f'"{self.license}" is not a license id of the Hub',
                expected="e.g. apache-2.0, mit, other",
            )


def hub_card(run: Run, options: CardOptions, *, tags: Sequence[str] = ()) -> str:
    """`README.md`: the run's card below the metadata that the Hub reads.

    Args:
        run: without places of this machine.
        tags: further ones.
    """
    hub = hub_library()
    title = options.title or run.folder.name
    results = _results(run, options.datasets)
    data = hub.ModelCardData(
        library_name="convgraft",
        pipeline_tag=TASK,
        license=options.license,
        datasets=list(options.datasets) or None,
        metrics=["accuracy"] if results else None,
        model_name=title if results else None,
        eval_results=results or None,
        tags=["cnn", "model-fusion", *_strategy(run.metrics), *tags],
    )
    return str(hub.ModelCard(f"---\n{data.to_yaml()}\n---\n\n{_body(title, run, options.repo)}"))


def _strategy(metrics: Mapping[str, Any]) -> list[str]:
    fit = metrics.get("fit")
    name = fit.get("strategy") if isinstance(fit, Mapping) else None
    slug = re.sub(r"[^a-z0-9]+", "-", str(name or "").lower()).strip("-")
    return [slug] if slug else []


def _results(run: Run, datasets: Sequence[str]) -> list[Any]:
    """The test figures of the main answer, as far as they are numbers."""
    hub = hub_library()
    test, data = run.metrics.get("test"), run.metrics.get("data")
    found = test.get(run.plan.answer) if isinstance(test, Mapping) else None
    named = data.get("location") if isinstance(data, Mapping) else None
    known = found if isinstance(found, Mapping) else {}
    return [
        hub.EvalResult(
            task_type=TASK,
            dataset_type=datasets[0] if datasets else LOCAL,
            dataset_name=datasets[0] if datasets else str(named or LOCAL),
            dataset_split="test",
            metric_type=metric,
            metric_name=name,
            metric_value=known[key],
        )
        for key, (metric, name) in FIGURES.items()
        if isinstance(known.get(key), (int, float)) and math.isfinite(known[key])
    ]


def _body(title: str, run: Run, repo: str) -> str:
    try:
        told = write_card(title, run.composite, run.labels, run.metrics)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ArtifactError(
            f'the notes of "{title}" are not as convgraft writes them',
            found=f"metrics.json: {type(error).__name__}: {error}",
        ) from error
    name = repo or "OWNER/NAME"
    folder = f"runs/{name.rpartition('/')[2]}"
    code = " It needs `--trust-python`: it imports code of its own." if _has_code(run) else ""
    return (
        f"{told.rpartition('## Use it')[0]}## Use it\n\n"
        f"With convgraft, its extra `hub` installed.{code}\n\n"
        f"```bash\nconvgraft pull {name} --out {folder}\nconvgraft predict {folder} pictures/\n"
        "```\n\n"
        f'```python\nimport convgraft\n\nrun = convgraft.load("{folder}")\n'
        f"run.probabilities(images)  # uint8 [N, 3, {run.image_size}, {run.image_size}]\n```\n"
    )


def _has_code(run: Run) -> bool:
    refs = (ref for _, ref in run.plan.all_sources() if ref.plan is None)
    return any(ref.network.strip().startswith("python:") for ref in refs)


def hub_config(run: Run) -> dict[str, Any]:
    """`config.json`: labels by number, image size and version, under the names tools look for."""
    return {
        "library_name": "convgraft",
        "convgraft_version": convgraft.__version__,
        "pipeline_tag": TASK,
        "problem_type": "single_label_classification",
        "num_labels": len(run.labels),
        "id2label": {str(number): label for number, label in enumerate(run.labels)},
        "label2id": {label: number for number, label in enumerate(run.labels)},
        "image_size": run.image_size,
        "num_channels": 3,
        "answer": run.plan.answer,
        "plan_hash": run.plan.hash,
    }
