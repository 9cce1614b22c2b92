"""Promise 10: packages are pinned, no code runs what strangers send, no test reaches a network."""

from __future__ import annotations

from asking import OPEN, REFUSED, asking_trials
from calls import call_trials, files
from campaign import Campaign
from pins import lines, needed, pin_trials

PINS, CALLS, WAYS = len(lines()) + len(needed()), len(files()) + 1, len(REFUSED) + len(OPEN)

CAMPAIGNS = (
    Campaign(
        *(10, "pins", "every package that is needed is pinned to one version that fits"),
        *(PINS, PINS, pin_trials),
    ),
    Campaign(
        *(10, "calls", "no code of convgraft unpickles, runs text or a shell, or unpacks archives"),
        *(CALLS, CALLS, call_trials),
    ),
    Campaign(
        *(10, "no-network", "tests and what they start reach no other machine"),
        *(WAYS, WAYS, asking_trials),
    ),
)
