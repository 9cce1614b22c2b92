"""The tables of "Transferred fusion learning using skipped networks" as studies of ours.

Rows, scales, image sets and networks are data: `rows/*.yaml`, `scales.yaml`, `material.yaml`.
"""

from convgraft.studies.paper.counts import SetCounts, count_images
from convgraft.studies.paper.material import read_material
from convgraft.studies.paper.outcome import Against, ArmFigure, RowOutcome, read_outcome
from convgraft.studies.paper.places import Model, Places, pretrained_in
from convgraft.studies.paper.pretrained import Pretrained, Pretraining, plan_pretraining
from convgraft.studies.paper.run import RowRun, plan_run
from convgraft.studies.paper.scales import Amount, Scale, read_scale
from convgraft.studies.paper.table_rows import TABLES, PaperRow, Printed, read_rows, rows_of

__all__ = [
    "TABLES",
    "Against",
    "Amount",
    "ArmFigure",
    "Model",
    "PaperRow",
    "Places",
    "Pretrained",
    "Pretraining",
    "Printed",
    "RowOutcome",
    "RowRun",
    "Scale",
    "SetCounts",
    "count_images",
    "plan_pretraining",
    "plan_run",
    "pretrained_in",
    "read_material",
    "read_outcome",
    "read_rows",
    "read_scale",
    "rows_of",
]
