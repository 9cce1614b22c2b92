"""Training: what learns (freeze policies), how (options), and the fit itself."""

from convgraft.training.evaluate import answers, evaluate
from convgraft.training.fit import FitResult, check_fit, fit
from convgraft.training.freeze import PRESETS, Freeze, FreezePolicy, read_policy, work_out
from convgraft.training.metrics import Metrics, measure
from convgraft.training.options import FitOptions
from convgraft.training.task import Task

__all__ = [
    "PRESETS",
    "FitOptions",
    "FitResult",
    "Freeze",
    "FreezePolicy",
    "Metrics",
    "Task",
    "answers",
    "check_fit",
    "evaluate",
    "fit",
    "measure",
    "read_policy",
    "work_out",
]
