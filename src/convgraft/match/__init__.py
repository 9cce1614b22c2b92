"""Matching: which layers of two networks fit. For now by their shapes alone."""

from convgraft.match.pairing import pair_by_shape, pair_in_order, stage_ends

__all__ = ["pair_by_shape", "pair_in_order", "stage_ends"]
