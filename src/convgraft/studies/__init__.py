"""Studies: arms, designs, baselines and their results on one protocol."""

from convgraft.studies.arms import BASELINES, Arm, average_of, baseline_arms
from convgraft.studies.design import Design, arm_of_plan, build_arm, random_front
from convgraft.studies.results import Row, best_val, measure_row

__all__ = [
    "BASELINES",
    "Arm",
    "Design",
    "Row",
    "arm_of_plan",
    "average_of",
    "baseline_arms",
    "best_val",
    "build_arm",
    "measure_row",
    "random_front",
]
