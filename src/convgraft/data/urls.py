"""URLs and the file systems behind them, by fsspec: asked again where that may help."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import url2pathname

from convgraft.errors import DataError, RunError, UsageError

LOCAL = ("file", "local")
PATIENCE = (1.0, 4.0)  # seconds before the second try and the third
FINAL = (FileNotFoundError, PermissionError, ImportError, NotImplementedError, ValueError)
log = logging.getLogger(__name__)
Found = TypeVar("Found")


class Stopped(Exception):  # noqa: N818 - it is no error
    """Somebody asked a download to end."""


def is_url(location: str) -> bool:
    """Whether a location is a URL and no path of this machine."""
    scheme, found, _ = location.partition("://")
    return bool(found) and scheme.replace("+", "").replace(":", "").isalnum()


def as_path(url: str) -> Path | None:
    """The path that a `file://` URL names; None for another URL."""
    scheme, _, rest = url.partition("://")
    return Path(url2pathname(rest)) if scheme.lower() in LOCAL else None


def opened(url: str) -> tuple[Any, str]:
    """A file system of fsspec and the place in it; raises UsageError without the library."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise UsageError(
            f"{url} needs fsspec, which is not installed", hint="pip install convgraft[remote]"
        ) from error
    try:
        filesystem, place = url_to_fs(url, **_settings(url))
    except ImportError as error:
        raise UsageError(
            f"{url} needs a library that is not installed",
            found=str(error),
            hint="pip install convgraft[remote]; for s3:// also s3fs, for gs:// gcsfs",
        ) from error
    except ValueError as error:
        raise DataError(f"{url} is no URL that can be read", found=str(error)) from error
    return filesystem, place


def _settings(url: str) -> dict[str, Any]:
    if not url.lower().startswith(("http://", "https://")):
        return {}
    try:
        from aiohttp import ClientTimeout
    except ImportError:
        return {}  # fsspec says what is missing
    # by default a download has five minutes in all, however large it is
    limits = ClientTimeout(total=None, sock_connect=30, sock_read=60)
    headers = {"Accept-Encoding": "identity"}
    return {"headers": headers, "client_kwargs": {"timeout": limits, "trust_env": True}}


def tried(url: str, ask: Callable[[], Found]) -> Found:
    """What `ask` gives, in up to three tries, each but the first after a word.

    Raises:
        DataError: there is nothing at the URL, or it is closed to us.
        RunError: it could not be reached.
    """
    for pause in (*PATIENCE, None):
        try:
            return ask()
        except (UsageError, Stopped):
            raise
        # each library behind fsspec has errors of its own
        except Exception as found:
            error = _why(found)
            if isinstance(error, FINAL) or 400 <= getattr(error, "status", 500) < 500:
                raise _refused(url, error) from error
            if pause is None:
                raise _unreached(url, error) from error
            log.warning("%s: %s; trying again in %g s", url, _said(error), pause)
            time.sleep(pause)
    raise AssertionError


def _why(error: Exception) -> Exception:
    """For fsspec, nothing is there where a server could not be asked; the cause says which."""
    cause = error.__cause__
    return cause if isinstance(error, FileNotFoundError) and isinstance(cause, Exception) else error


def _refused(url: str, error: Exception) -> DataError:
    missing = isinstance(error, FileNotFoundError) or getattr(error, "status", 0) in (404, 410)
    what = f"there is nothing at {url}" if missing else f"{url} cannot be read"
    return DataError(what, found=None if missing else _said(error))


def _unreached(url: str, error: Exception) -> RunError:
    return RunError(
        f"{url} cannot be reached",
        found=_said(error),
        hint="is this machine online, and is the address right?",
    )


def _said(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
