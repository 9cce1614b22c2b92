"""What the workers of a search open: the same images and networks as the command itself."""

from __future__ import annotations

from collections.abc import Sequence

from convgraft.cli.search_steps import keeper, open_setting
from convgraft.errors import DataError
from convgraft.studies.search import Bench, Rules


def open_bench(
    data: str,
    models: Sequence[str],
    image_size: int | None,
    target: str | None,
    limit: int | None,
    rules: Rules,
    strict: bool,
    stream: bool,
    fingerprint: str,
) -> Bench:
    """Images, split and networks; raises DataError where these are other images."""
    setting = open_setting(data, models, image_size, target, limit, rules, strict, stream)
    if setting.images.fingerprint != fingerprint:
        raise DataError(
            f'the images at "{data}" are not the same on all machines',
            hint="the data on a path that all machines share",
        )
    task = setting.task(None)
    return Bench(setting.given, task, keeper(task))
