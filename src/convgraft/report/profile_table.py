"""A profile as rows of tables and as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convgraft.report.profile import PartProfile, Profile

MEGABYTE = 2**20


def part_header(profile: Profile) -> tuple[str, ...]:
    """What stands above `part_rows`."""
    return ("part", "MACs", "weights", *(f"MB at peak, {count}" for count in profile.batches))


def part_rows(profile: Profile) -> list[tuple[str, ...]]:
    """What each part costs on any machine, and the sum of all."""
    return [
        (
            _name(part),
            f"{part.macs / 1e6:.2f} M",
            f"{part.parameters / 1e6:.2f} M",
            *(f"{part.memory[count] / MEGABYTE:.2f}" for count in profile.batches),
        )
        for part in (*profile.parts, _sum(profile))
    ]


def time_header(profile: Profile) -> tuple[str, ...]:
    """What stands above `time_rows`."""
    counts = profile.batches
    return ("part", *(text for n in counts for text in (f"ms, {n}", "%", f"packed ms, {n}")))


def time_rows(profile: Profile) -> list[tuple[str, ...]]:
    """Milliseconds of each part here, node by node, and the sum of all."""
    sums = _sum(profile)
    return [
        (
            _name(part),
            *(
                text
                for count in profile.batches
                for text in (
                    f"{1000 * part.seconds[count]:.2f}",
                    f"{100 * part.seconds[count] / (sums.seconds[count] or 1):.1f}",
                    f"{1000 * part.packed[count]:.2f}",
                )
            ),
        )
        for part in (*profile.parts, sums)
    ]


def _name(part: PartProfile) -> str:
    return part.name if part.kind in ("other", "wire") else f"{part.kind} {part.name}".strip()


def _sum(profile: Profile) -> PartProfile:
    """All parts together."""

    def over(values: str) -> dict[int, Any]:
        return {n: sum(getattr(part, values)[n] for part in profile.parts) for n in profile.batches}

    macs = sum(part.macs for part in profile.parts)
    parameters = sum(part.parameters for part in profile.parts)
    return PartProfile("sum", "", macs, parameters, over("seconds"), over("packed"), over("memory"))


def engine_header(profile: Profile) -> tuple[str, ...]:
    """What stands above `engine_rows`."""
    timed = [text for n in profile.batches for text in (f"ms, {n}", "times")]
    return ("whole call", *timed, *(f"peak MB, {n}" for n in profile.batches))


def engine_rows(profile: Profile) -> list[tuple[str, ...]]:
    """A row for each engine that can run the network."""
    eager = profile.whole["eager"]
    rows = []
    for engine, seconds in profile.whole.items():
        timed = [
            text
            for count in profile.batches
            for text in (f"{1000 * seconds[count]:.2f}", f"{eager[count] / seconds[count]:.2f}")
        ]
        peaks = profile.peak.get(engine, {})
        memory = [f"{peaks[n] / MEGABYTE:.2f}" if n in peaks else "" for n in profile.batches]
        rows.append((engine, *timed, *memory))
    return rows


def profile_data(profile: Profile) -> dict[str, Any]:
    """The same as plain data: milliseconds of a batch and bytes, by number of images."""
    sums = _sum(profile)
    return {
        "threads": profile.threads,
        "batches": list(profile.batches),
        "macs": sums.macs,
        "parameters": sums.parameters,
        "parts": [_part_data(part, sums) for part in profile.parts],
        "sum": _part_data(sums, sums),
        "whole": {
            engine: {
                "ms": _milliseconds(seconds),
                "peak_bytes": {str(n): b for n, b in profile.peak.get(engine, {}).items()} or None,
            }
            for engine, seconds in profile.whole.items()
        },
        "steps": list(profile.steps),
    }


def _part_data(part: PartProfile, sums: PartProfile) -> dict[str, Any]:
    return {
        "kind": part.kind,
        "name": part.name,
        "macs": part.macs,
        "parameters": part.parameters,
        "ms": _milliseconds(part.seconds),
        "share": {str(n): s / (sums.seconds[n] or 1) for n, s in part.seconds.items()},
        "packed_ms": _milliseconds(part.packed),
        "bytes_at_peak": {str(n): b for n, b in part.memory.items()},
    }


def _milliseconds(seconds: Mapping[int, float]) -> dict[str, float]:
    return {str(count): 1000 * value for count, value in seconds.items()}
