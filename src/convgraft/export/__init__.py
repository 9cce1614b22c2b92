"""What leaves convgraft: the artifact folder and its card."""

from convgraft.export.artifact import CARD, METRICS, SPLIT, WEIGHTS, Run, load, save
from convgraft.export.card import write_card
from convgraft.export.files import write_json, write_text

__all__ = [
    "CARD",
    "METRICS",
    "SPLIT",
    "WEIGHTS",
    "Run",
    "load",
    "save",
    "write_card",
    "write_json",
    "write_text",
]
