"""Module paths: `layer1.0.conv` is the layer `conv` of block `layer1.0` of stage `layer1`."""

from __future__ import annotations


def prefixes(path: str) -> list[str]:
    """A path and those of all modules around it, the outermost first.

    >>> prefixes("layer1.0.conv")
    ['layer1', 'layer1.0', 'layer1.0.conv']
    """
    parts = path.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
