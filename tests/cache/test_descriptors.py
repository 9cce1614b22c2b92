"""A process may open as many files as the system lets it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import resource
from convgraft.cache.descriptors import ENOUGH, allow_many_files
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
allow_many_files()
soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
print(soft == (ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_the_limit_is_raised() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
