"""Studies: arms, designs, baselines and their results on one protocol."""

from convgraft.studies.arms import BASELINES, Arm, average_of, baseline_arms
from convgraft.studies.compare import study_of, study_of_file
from convgraft.studies.comparison import Comparison, compare_arms
from convgraft.studies.design import Design, arm_of_plan, build_arm, random_front, untrained
from convgraft.studies.entries import entries, with_sides
from convgraft.studies.failures import failures, finished
from convgraft.studies.gates import wire_gates
from convgraft.studies.predictions import Predictions
from convgraft.studies.presets import STUDIES, find_study
from convgraft.studies.results import Row, best_val, measure_row
from convgraft.studies.run_comparison import compare_run
from convgraft.studies.runner import Cell, run_study
from convgraft.studies.statistics import Interval
from convgraft.studies.store import StudyStore
from convgraft.studies.study import Entry, Study, StudyArm, taking
from convgraft.studies.study_file import StudyFile, read_study
from convgraft.studies.summary import ArmSummary, Ratio, summarise
from convgraft.studies.trained import Trained, train_arm

__all__ = [
    "BASELINES",
    "STUDIES",
    "Arm",
    "ArmSummary",
    "Cell",
    "Comparison",
    "Design",
    "Entry",
    "Interval",
    "Predictions",
    "Ratio",
    "Row",
    "Study",
    "StudyArm",
    "StudyFile",
    "StudyStore",
    "Trained",
    "arm_of_plan",
    "average_of",
    "baseline_arms",
    "best_val",
    "build_arm",
    "compare_arms",
    "compare_run",
    "entries",
    "failures",
    "find_study",
    "finished",
    "measure_row",
    "random_front",
    "read_study",
    "run_study",
    "study_of",
    "study_of_file",
    "summarise",
    "taking",
    "train_arm",
    "untrained",
    "wire_gates",
    "with_sides",
]
