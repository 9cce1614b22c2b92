"""Is an error that memory ran out? Libraries say so in types and words of their own."""

from __future__ import annotations

WORDS = (
    "can't allocate memory",  # PyTorch on a CPU
    "out of memory",  # on a GPU
    "not enough memory",
    "Failed to allocate memory",  # ONNX Runtime
    "bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may help."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, Exception) and any(word in str(error) for word in WORDS)
