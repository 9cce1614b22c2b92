"""What reaches modules while a composite answers, batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor

from convgraft.compose import Composite

Read = TypeVar("Read")


@contextmanager
def read_inputs(
    composite: Composite,
    paths: Collection[str],
    read: Callable[[Tensor], Read],
    keep: Callable[[str, Read], None],
) -> Iterator[None]:
    """Within it, `keep` is given what `read` makes of the input of each of those modules.

    It is given after the batch has run to its end: one for which memory runs out is run again in
    parts, and does not count twice.

    Args:
        read: called before the module runs, since inputs may be overwritten later.
        keep: called with a path and what was read there.
    """
    found: list[tuple[str, Read]] = []

    def reader(path: str) -> Callable[[Any, tuple[Tensor, ...]], None]:
        return lambda _, inputs: found.append((path, read(inputs[0].detach())))

    def keep_all(*_: object) -> None:
        for path, value in found:
            keep(path, value)

    hooks = [composite.get_submodule(p).register_forward_pre_hook(reader(p)) for p in paths]
    hooks.append(composite.register_forward_pre_hook(lambda *_: found.clear()))
    hooks.append(composite.register_forward_hook(keep_all))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
