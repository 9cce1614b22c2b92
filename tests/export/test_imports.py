"""Loading and asking a run needs none of what trains and draws."""

from __future__ import annotations

import subprocess
import sys


def test_predicting_loads_nothing_that_trains_or_draws() -> None:
    modules = (
        "convgraft.export.optimized, convgraft.predict.torch_engine, convgraft.cli.predict_steps"
    )
    heavy = "{'lightning', 'matplotlib', 'convgraft.studies', 'convgraft.report'}"
    script = f"import sys, {modules}; print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
