"""Plans: what to combine and how, as names and numbers, in text and in YAML."""

from convgraft.plan.text import parse_plan
from convgraft.plan.values import Head, Plan, SourceRef, TapRef, Wire
from convgraft.plan.yaml_form import plan_from_yaml, plan_to_yaml, read_plan

__all__ = [
    "Head",
    "Plan",
    "SourceRef",
    "TapRef",
    "Wire",
    "parse_plan",
    "plan_from_yaml",
    "plan_to_yaml",
    "read_plan",
]
