"""What leaves convgraft: the artifact folder and its card, and the network made fast.

The card is imported when it is asked for: it needs all that draws reports, a run needs none of it.
"""

from typing import TYPE_CHECKING, Any

from convgraft.export.artifact import CARD, METRICS, SPLIT, WEIGHTS, Run, load, save
from convgraft.export.files import write_json, write_text
from convgraft.export.fold import Folded, fold_adapters

if TYPE_CHECKING:
    from convgraft.export.card import write_card

__all__ = [
    "CARD",
    "METRICS",
    "SPLIT",
    "WEIGHTS",
    "Folded",
    "Run",
    "fold_adapters",
    "load",
    "save",
    "write_card",
    "write_json",
    "write_text",
]


def __getattr__(name: str) -> Any:
    if name != "write_card":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from convgraft.export.card import write_card

    return write_card
