"""Search: the best way of combining networks within a budget, by closed form and by Optuna."""

from convgraft.studies.search.batches import Batches
from convgraft.studies.search.front import best_single, choose, front
from convgraft.studies.search.price import Ceiling
from convgraft.studies.search.rules import Rules
from convgraft.studies.search.runner import run_search
from convgraft.studies.search.space import Candidate
from convgraft.studies.search.store import SearchStore
from convgraft.studies.search.trial_task import Bench
from convgraft.studies.search.trials import import_optuna

__all__ = [
    "Batches",
    "Bench",
    "Candidate",
    "Ceiling",
    "Rules",
    "SearchStore",
    "best_single",
    "choose",
    "front",
    "import_optuna",
    "run_search",
]
