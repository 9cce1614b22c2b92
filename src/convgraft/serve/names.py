"""Names that strangers may read: where files lie on the server is nobody's business."""

from __future__ import annotations


def short_name(network: str) -> str:
    """A network's name without the folders of its weights, or of the run that it is.

    >>> short_name("cifar_resnet20@/home/me/w.safetensors")
    'cifar_resnet20@w.safetensors'
    """
    name, at, weights = network.partition("@")
    if at:
        return f"{name}@{weights.rpartition('/')[2]}"
    return name.rstrip("/").rpartition("/")[2] if name.startswith((".", "/", "~")) else name
