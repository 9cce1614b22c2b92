"""Which taps of two networks belong together, and the best linear map between two taps."""

from convgraft.match.pairing import NEAR, pair_by_shape, pair_in_order, stage_ends
from convgraft.match.ridge import RidgeMoments

__all__ = ["NEAR", "RidgeMoments", "pair_by_shape", "pair_in_order", "stage_ends"]
