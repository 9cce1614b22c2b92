"""The pages as the tests see them, and a folder in which commands of the docs can be run."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
