"""Plans, policies, studies and label maps as people write them, drawn at random."""

from __future__ import annotations

from typing import Any

from wild_text import Rng, pick

NAMES = ("a", "b", "left", "right_2", "x-y")
TAPS = ("layer1", "layer2.0", "layer3.2.conv1", "features", "fc", "input")
CLASSES = tuple("0123456789")


def tap(rng: Rng) -> str:
    """`SOURCE:TAP`."""
    return f"{pick(rng, NAMES[:3])}:{pick(rng, TAPS)}"


def plan_data(rng: Rng, depth: int = 0) -> dict[str, Any]:
    """A plan that can be read, though perhaps not built."""
    data: dict[str, Any] = {
        "image_size": pick(rng, (8, 32, 224)),
        "sources": {name: _source(rng, depth) for name in NAMES[: int(rng.integers(1, 4))]},
    }
    if rng.random() < 0.7:
        data["wires"] = [_wire(rng) for _ in range(int(rng.integers(3)))]
    if rng.random() < 0.7:
        data["heads"] = {f"h{n}": _head(rng) for n in range(int(rng.integers(3)))}
    if rng.random() < 0.3:
        data["convgraft"] = 1
    return data


def _source(rng: Rng, depth: int) -> Any:
    networks = ("cifar_resnet20", "runs/x", "torchvision/resnet18@my weights.pth", "caf\xe9@\u2028")
    network = pick(rng, networks)
    if rng.random() < 0.4:
        return network
    data: dict[str, Any] = {"network": network}
    if rng.random() < 0.5:
        data["classes"] = int(rng.integers(1, 1000))
    if rng.random() < 0.4:
        data["mean"] = [round(float(value), 3) for value in rng.random(3)]
        data["std"] = float(rng.random()) + 0.1
    if rng.random() < 0.3:
        data["size"] = int(rng.integers(1, 300))
    if depth < 2 and rng.random() < 0.4:
        data["plan"] = plan_data(rng, depth + 1)
    return data


def _wire(rng: Rng) -> dict[str, Any]:
    data: dict[str, Any] = {"from": pick(rng, (tap(rng), [tap(rng), tap(rng)])), "to": tap(rng)}
    for key, words in (
        ("join", ("add", "concat", "gate", "replace")),
        ("adapter", ("identity", "conv1x1", "block", "ridge")),
        ("start", ("zero", "one", "ridge")),
    ):
        if rng.random() < 0.6:
            data[key] = pick(rng, words)
    return data


def _head(rng: Rng) -> dict[str, Any]:
    data: dict[str, Any] = {
        "kind": pick(rng, ("linear", "mlp", "average", "tap")),
        "from": [tap(rng) for _ in range(int(rng.integers(3)))],
    }
    if rng.random() < 0.5:
        data |= {"hidden": [8, 4], "dropout": 0.5, "fusion": pick(rng, ("sum", "concat"))}
    if rng.random() < 0.5:
        data |= {"classes": 3, "column": pick(rng, ("kind", "my column", 'a "b"'))}
    return data


def policy_data(rng: Rng) -> dict[str, Any]:
    """A freeze policy."""
    rules = {
        pick(rng, ("**", "a:layer1*", "heads", "kind:block", "depth:0.1..0.5 & b:*")): pick(
            rng, (0.1, "frozen", 1, {"rate": 0.5, "statistics": "frozen", "depth_decay": 0.8})
        )
        for _ in range(3)
    }
    if rng.random() < 0.5:
        return rules
    phase = {"name": "one", "epochs": 2, "lr": 0.1, "optimizer": "sgd", "freeze": rules}
    return {"phases": [phase, {"freeze": {"**": 1}, "schedule": "one-cycle"}]}


def study_data(rng: Rng) -> dict[str, Any]:
    """A study, as `compare` reads it."""
    return {
        "study": "skips",
        "question": "do wires help?",
        "data": "digits",
        "models": pick(rng, ({"a": "cifar_resnet20", "b": "cifar_resnet32"}, ["cifar_resnet20"])),
        "arms": ["cross-skip", {"strategy": "stitch", "name": "cut", "at": "layer2"}, "probe"],
        "baselines": ["probe"],
        "image_size": 8,
        "target": "label",
        "limits": [100, "all"],
        "epochs": pick(rng, (3, {100: 2, "all": 1})),
        "freeze": pick(rng, ("heads-only", "all")),
        "training": {"lr": 0.1, "batch_size": 8, "augment": "light", "optimizer": "adamw"},
        "budget_seconds": 60,
    }


def label_map_data(rng: Rng) -> dict[str, Any]:
    """A label map of the digits."""
    words = ("odd", "even", "round")
    return {
        name: {digit: pick(rng, words) for digit in CLASSES if rng.random() < 0.8}
        for name in ("parity", "shape")[: int(rng.integers(1, 3))]
    }
