"""convgraft combines CNN image classifiers into one better network.

    import convgraft

    a = convgraft.source("torchvision/squeezenet1_1@squeezenet.safetensors")
    b = convgraft.source("torchvision/mobilenet_v2@mobilenet.safetensors")
    given = convgraft.Ingredients({"a": a, "b": b}, image_size=100, classes=8)
    plan = convgraft.STRATEGIES["cross-skip"].write(given)
    network = convgraft.compile(plan, given.sources)     # a plain nn.Module

    run = convgraft.load("runs/x")                        # a trained one, from its folder

Nothing is imported before it is used: `import convgraft` loads no torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# ONNX Runtime reports its use to its makers unless this is set before it is imported
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from convgraft.compose import Composite, check, cost
    from convgraft.data import open_images, split_images
    from convgraft.errors import ConvgraftError, PlanError, UsageError
    from convgraft.export import Run, fold_adapters, load, save
    from convgraft.opening import compile_plan as compile
    from convgraft.opening import open_network as source
    from convgraft.plan import Head, Plan, SourceRef, TapRef, Wire, parse_plan, read_plan
    from convgraft.sources import Source, parse_selection
    from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
    from convgraft.training import PRESETS, FitOptions, Task, evaluate, fit, read_policy

_HOMES = {
    "compose": ("Composite", "check", "cost"),
    "data": ("open_images", "split_images"),
    "errors": ("ConvgraftError", "PlanError", "UsageError"),
    "export": ("Run", "fold_adapters", "load", "save"),
    "opening": ("compile", "source"),
    "plan": ("Head", "Plan", "SourceRef", "TapRef", "Wire", "parse_plan", "read_plan"),
    "sources": ("Source", "parse_selection"),
    "strategies": ("STRATEGIES", "Ingredients", "StrategyOptions"),
    "training": ("PRESETS", "FitOptions", "Task", "evaluate", "fit", "read_policy"),
}
_NAMED_THERE = {
    "compile": "compile_plan",
    "source": "open_network",  # a run is a source too
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "PRESETS",
    "STRATEGIES",
    "Composite",
    "ConvgraftError",
    "FitOptions",
    "Head",
    "Ingredients",
    "Plan",
    "PlanError",
    "Run",
    "Source",
    "SourceRef",
    "StrategyOptions",
    "TapRef",
    "Task",
    "UsageError",
    "Wire",
    "check",
    "compile",
    "cost",
    "evaluate",
    "fit",
    "fold_adapters",
    "load",
    "open_images",
    "parse_plan",
    "parse_selection",
    "read_plan",
    "read_policy",
    "save",
    "source",
    "split_images",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'convgraft' has no attribute {name!r}")
    home = importlib.import_module(f"convgraft.{_HOME_OF[name]}")
    return getattr(home, _NAMED_THERE.get(name, name))


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
