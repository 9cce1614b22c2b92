"""The card: what a network is made of, how it was trained, on what, and measured how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.compose import Composite, cost
from convgraft.report import markdown_table
from convgraft.studies.statistics import wilson_interval


def write_card(
    name: str, composite: Composite, labels: Sequence[str], metrics: Mapping[str, Any]
) -> str:
    """The card as Markdown. Every number in it comes from `metrics` or is counted here."""
    plan = composite.plan
    spent = cost(composite)
    sections = [
        f"# {name}",
        _answer_line(plan.answer, metrics),
        "## What it is made of",
        markdown_table(
            ["source", "network", "image size"],
            [[ref.name, f"`{ref.network}`", ref.size or plan.image_size] for ref in plan.sources],
        ),
        f"{len(plan.wires)} wires, {spent.parameters:,} weights, {spent.macs:,} MACs an image.",
        "```text\n" + str(plan) + "```",
        "## How it was trained",
        _settings(metrics.get("fit", {})),
        _gates(metrics.get("gates", {})),
        "## On what",
        _settings(metrics.get("data", {})),
        f"Classes: {', '.join(labels[:20])}{', ...' if len(labels) > 20 else ''}.",
        "## Measured how",
        _protocol(metrics),
        _results(metrics.get("rows", [])),
        "## Limits",
        _limits(plan.image_size, labels, metrics.get("test", {}).get(plan.answer) or {}),
        "## Use it",
        '```python\nimport convgraft\n\nrun = convgraft.load("RUN")\n'
        "run.probabilities(images)  # uint8 [N, 3, "
        f"{plan.image_size}, {plan.image_size}]\n```",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _protocol(metrics: Mapping[str, Any]) -> str:
    """How the epoch was chosen and the test part used, as far as it is known."""
    said = []
    if metrics.get("best_epoch", -1) >= 0:
        epoch, count = metrics["best_epoch"] + 1, len(metrics.get("curve", ()))
        said.append(f"Epoch {epoch} of {count} was chosen on the validation part.")
    reads = list(metrics.get("test_reads", ()))
    if reads:
        said.append(f"The test part was read {len(reads)} times, once for each arm, afterwards.")
    return " ".join(said)


def _answer_line(answer: str, metrics: Mapping[str, Any]) -> str:
    test = metrics.get("test", {}).get(answer)
    if not test:
        return "Not evaluated on a test part."
    return f"Test top-1 **{100 * test['top1']:.2f} %** on {test['images']} images."


def _settings(values: Mapping[str, Any]) -> str:
    said = {key: value for key, value in values.items() if value is not None}
    return "\n".join(f"* {key.replace('_', ' ')}: {value}" for key, value in said.items())


def _limits(image_size: int, labels: Sequence[str], test: Mapping[str, Any]) -> str:
    """What anyone should know before relying on it, as far as the run itself tells."""
    said = [
        f"Whatever a picture shows, the answer is one of {len(labels)} classes.",
        f"Pictures of any size are taken, and looked at as {image_size}x{image_size} pixels.",
    ]
    if test.get("images"):
        near = wilson_interval(test["top1"], test["images"])
        low, high = 100 * (near.low or 0.0), 100 * (near.high or 0.0)
        said.append(
            f"By {test['images']} test images top-1 is between {low:.1f} and {high:.1f} % (95 %), "
            "for pictures like these; of others nothing is known."
        )
    return "\n".join(f"* {line}" for line in said)


def _gates(gates: Mapping[str, float]) -> str:
    """How far wires that started at zero have opened."""
    if not gates:
        return ""
    rows = [[f"`{wire}`", f"{gate:.4f}"] for wire, gate in gates.items()]
    return "Wires that started at zero:\n\n" + markdown_table(["wire", "mean gate"], rows)


def _results(rows: Sequence[Mapping[str, Any]]) -> str:
    return markdown_table(
        ["arm", "test top-1", "NLL", "ECE", "weights", "MACs", "seconds"],
        [
            [
                row["arm"],
                f"{100 * row['test']['top1']:.2f}",
                f"{row['test']['nll']:.3f}",
                f"{row['test']['ece']:.3f}",
                f"{row['parameters']:,}",
                f"{row['macs']:,}",
                f"{row['seconds']:.0f}",
            ]
            for row in rows
        ],
    )
