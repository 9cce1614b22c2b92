"""Room for many open files: an entry needs one or two, and a fit may read hundreds of entries."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache

ENOUGH = 10_240


@cache
def allow_many_files() -> None:
    """Raise this process's own limit on open files as far as the system lets it; once."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):  # the usual limit then holds
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
