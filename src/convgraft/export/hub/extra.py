"""huggingface_hub, which is an extra: found when it is needed, and named where it is not there."""

from __future__ import annotations

import importlib
from typing import Any

from convgraft.errors import UsageError


def hub_library(part: str = "") -> Any:
    """`huggingface_hub`, or a part of it; raises UsageError where it is not installed."""
    try:
        return importlib.import_module(f"huggingface_hub.{part}" if part else "huggingface_hub")
    except ImportError as error:
        raise UsageError(
            "huggingface_hub is not installed", hint='pip install "convgraft[hub]"'
        ) from error


def check_name(name: str, what: str = "a repository") -> None:
    """Raise UsageError where the Hub has no repository, or image set, of that name."""
    rules = hub_library("utils")
    try:
        rules.validate_repo_id(name)
    except ValueError as error:
        raise UsageError(
            f'"{name}" cannot be {what} of the Hub', expected="OWNER/NAME", found=str(error)
        ) from error
