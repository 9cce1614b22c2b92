"""Which taps of two networks belong together, and the best linear map between two taps."""

from convgraft.match.all_pairs import AllPairs
from convgraft.match.grids import sampling_bound
from convgraft.match.likeness import Pairing, likeness_scores, pair_by_likeness
from convgraft.match.matching import Matching, match_taps
from convgraft.match.moments import PairMoments
from convgraft.match.pairing import NEAR, pair_by_shape, pair_in_order, stage_ends
from convgraft.match.ridge import RidgeMap, mean_squared_error, r_squared, solve_ridge
from convgraft.match.similarity import debiased_cka

__all__ = [
    "NEAR",
    "AllPairs",
    "Matching",
    "PairMoments",
    "Pairing",
    "RidgeMap",
    "debiased_cka",
    "likeness_scores",
    "match_taps",
    "mean_squared_error",
    "pair_by_likeness",
    "pair_by_shape",
    "pair_in_order",
    "r_squared",
    "sampling_bound",
    "solve_ridge",
    "stage_ends",
]
