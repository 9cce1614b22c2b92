"""Networks to be combined: how they are named, captured, described and preprocessed.

`source("torchvision/resnet18@w.safetensors")` gives a `Source`: the network, its exact graphs, its
preprocessing. `Source.survey(size)` names its taps; `parse_selection` selects among them.
"""

from convgraft.sources.capture import Capture, Graph, capture
from convgraft.sources.preprocess import Preprocess, Preprocessing
from convgraft.sources.select import Place, Selection, parse_selection, tap_places
from convgraft.sources.source import Source, source
from convgraft.sources.spec import SourceSpec, parse_spec
from convgraft.sources.survey import Survey, Tap

__all__ = [
    "Capture",
    "Graph",
    "Place",
    "Preprocess",
    "Preprocessing",
    "Selection",
    "Source",
    "SourceSpec",
    "Survey",
    "Tap",
    "capture",
    "parse_selection",
    "parse_spec",
    "source",
    "tap_places",
]
