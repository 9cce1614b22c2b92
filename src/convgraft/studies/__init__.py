"""Studies: arms, baselines and their results on one protocol."""

from convgraft.studies.arms import BASELINES, Arm, average_of, baseline_arms
from convgraft.studies.results import Row, best_val, measure_row

__all__ = ["BASELINES", "Arm", "Row", "average_of", "baseline_arms", "best_val", "measure_row"]
