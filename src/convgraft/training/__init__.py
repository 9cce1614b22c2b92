"""Training: what learns (freeze policies), towards what (losses), how (options), and the fit."""

from convgraft.training.at_rest import answer_part, at_rest, evaluate_part, start_ridge_heads
from convgraft.training.check import check_fit, class_counts
from convgraft.training.evaluate import Answered, answered, answers, evaluate
from convgraft.training.fit import FitResult, fit
from convgraft.training.freeze import Freeze, work_out
from convgraft.training.metrics import Metrics, measure, measure_probabilities
from convgraft.training.objective import Loss, Objective, Term, task_loss
from convgraft.training.options import FitOptions
from convgraft.training.policies import PRESETS, FreezePolicy, Phase, Rule, one_phase
from convgraft.training.policy_file import read_policy
from convgraft.training.ridge_heads import start_heads
from convgraft.training.ridge_start import start_adapters
from convgraft.training.task import Task

__all__ = [
    "PRESETS",
    "Answered",
    "FitOptions",
    "FitResult",
    "Freeze",
    "FreezePolicy",
    "Loss",
    "Metrics",
    "Objective",
    "Phase",
    "Rule",
    "Task",
    "Term",
    "answer_part",
    "answered",
    "answers",
    "at_rest",
    "check_fit",
    "class_counts",
    "evaluate",
    "evaluate_part",
    "fit",
    "measure",
    "measure_probabilities",
    "one_phase",
    "read_policy",
    "start_adapters",
    "start_heads",
    "start_ridge_heads",
    "task_loss",
    "work_out",
]
