"""The work of `convgraft ensemble`: fit the votes, measure every answer, write the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import convgraft
from convgraft.cli.ensemble_images import Chosen
from convgraft.cli.ensemble_steps import Prepared
from convgraft.compose import Composite, cost, keep_answers
from convgraft.data import ImageSet, Pixels, load_pixels
from convgraft.export import save, write_card
from convgraft.training import Metrics, evaluate
from convgraft.training.staged import staged_answers
from convgraft.training.voting import HeldOut

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Result:
    """What came of it.

    Attributes:
        notes: of the fitted votes, by answer.
        held_out, test: metrics by answer; empty where there were no such images.
        macs: of an image, by answer; a cascade's as measured.
        stages: of a cascade, on the test images.
    """

    notes: Mapping[str, Mapping[str, Any]]
    held_out: Mapping[str, Metrics]
    test: Mapping[str, Metrics]
    macs: Mapping[str, int]
    parameters: Mapping[str, int]
    stages: Mapping[str, Any]
    seconds: float


def work(prepared: Prepared, report: Report) -> Result:
    """Fit the votes, then test every answer; the test images are read once, at the end."""
    started = time.perf_counter()
    notes: dict[str, Any] = {}
    held: Mapping[str, Metrics] = {}
    composite, asked = prepared.composite, prepared.asked
    if prepared.fit_on:
        pixels = _pixels(prepared.fit_on, composite, "read held-out", report)
        heads = HeldOut(
            composite, pixels, batch_size=asked.batch_size, on_progress=_told(report, "answer")
        )
        limit = None if asked.max_cost is None else asked.max_cost * 1e6
        notes = heads.fit(seed=asked.seed, max_cost=limit)
        held = heads.metrics()
    seconds = time.perf_counter() - started
    macs, parameters = _costs(composite)
    macs |= {name: said["macs"] for name, said in notes.items() if said["kind"] == "cascade"}
    test: Mapping[str, Metrics] = {}
    stages: dict[str, Any] = {}
    if prepared.test_on:
        pixels = _pixels(prepared.test_on, composite, "read test", report)
        test, stages = _test(composite, pixels, asked.batch_size, report)
        macs |= {name: round(said["macs"]) for name, said in stages.items()}
    return Result(notes, held, test, macs, parameters, stages, seconds)


def _pixels(
    chosen: tuple[ImageSet, Chosen], composite: Composite, what: str, report: Report
) -> Pixels:
    images, part = chosen
    size = composite.plan.image_size
    return load_pixels(images, size, indices=part.indices, on_progress=_told(report, what))


def _told(report: Report, what: str) -> Callable[[int, int], None]:
    return lambda done, total: report(what, done, total)


def _costs(composite: Composite) -> tuple[dict[str, int], dict[str, int]]:
    """MACs of an image and weights, by answer, each as if it were the only one."""
    macs, parameters = {}, {}
    for head in composite.plan.heads:
        spent = cost(keep_answers(composite, (head.name,)))
        macs[head.name], parameters[head.name] = spent.macs, spent.parameters
    return macs, parameters


def _test(
    composite: Composite, pixels: Pixels, batch_size: int, report: Report
) -> tuple[Mapping[str, Metrics], dict[str, Any]]:
    started = time.perf_counter()
    test = evaluate(composite, pixels, batch_size=batch_size, on_progress=_told(report, "test"))
    seconds = time.perf_counter() - started
    stages: dict[str, Any] = {}
    for head in composite.plan.heads:
        if head.kind == "cascade":
            ran = staged_answers(composite, pixels.images, batch_size, answer=head.name)
            stages[head.name] = {
                "shares": ran.shares,
                "macs": ran.macs_per_image,
                "macs_of_all": ran.macs_of_all,
                "seconds": ran.seconds,
                "seconds_of_all": seconds,
            }
    return test, stages


def write_run(out: Path, prepared: Prepared, result: Result) -> None:
    """Write the artifact."""
    metrics = facts(prepared, result)
    card = write_card(out.name, prepared.composite, prepared.labels, metrics)
    save(out, prepared.composite, labels=prepared.labels, metrics=metrics, card=card)


def facts(prepared: Prepared, result: Result) -> dict[str, Any]:
    """What `metrics.json` says."""
    asked = prepared.asked
    data: dict[str, Any] = {}
    if prepared.fit_on:
        images, chosen = prepared.fit_on
        data = {
            "votes_fitted_on": f"{len(chosen.indices)} images, {chosen.part}",
            "location": images.location,
            "fingerprint": images.fingerprint,
        }
    if prepared.test_on:
        images, chosen = prepared.test_on
        data["tested_on"] = f"{images.location}: {len(chosen.indices)} images, {chosen.part}"
    bias = _bias(prepared, result)
    return {
        "arm": "ensemble",
        "convgraft": convgraft.__version__,
        "fit": {"strategy": "ensemble", "votes": ", ".join(asked.votes), "seed": asked.seed}
        | ({"bias": bias} if bias else {}),
        "data": data,
        "members": {member.name: member.spec for member in prepared.members},
        "votes": dict(result.notes),
        "held_out": {name: found.as_dict() for name, found in result.held_out.items()},
        "test": {name: found.as_dict() for name, found in result.test.items()},
        "stages": dict(result.stages),
        "rows": rows(prepared, result) if result.test else [],
        "seconds": result.seconds,
        "finished": True,
    }


def _bias(prepared: Prepared, result: Result) -> str | None:
    return prepared.fit_on[1].bias if prepared.fit_on and result.notes else None


def rows(prepared: Prepared, result: Result) -> list[dict[str, Any]]:
    """A row for every member and every vote, the run's answer last."""
    specs = {member.name: member.spec for member in prepared.members}
    found = []
    for head in prepared.composite.plan.heads:
        held, test = result.held_out.get(head.name), result.test.get(head.name)
        said = specs.get(head.name, head.kind)
        found.append(
            {
                "arm": head.name if head.name == head.kind else f"{head.name}: {said}",
                "answer": head.name,
                "kind": "member" if head.name in specs else head.kind,
                "held_out": held.as_dict() if held else None,
                "test": test.as_dict() if test else None,
                "macs": result.macs[head.name],
                "parameters": result.parameters[head.name],
                "seconds": result.seconds if head.name in result.notes else 0.0,
            }
        )
    return found


def summary(out: Path, prepared: Prepared, result: Result) -> dict[str, Any]:
    """What `--json` prints."""
    fitted = prepared.fit_on
    return {
        "run": str(out),
        "answer": prepared.composite.plan.answer,
        "vote": prepared.asked.votes[0],
        "fitted_on": {"part": fitted[1].part, "images": len(fitted[1].indices)} if fitted else None,
        "bias": _bias(prepared, result),
        "votes": dict(result.notes),
        "stages": dict(result.stages),
        "rows": rows(prepared, result),
    }
