"""Image ids: one number per image that changes when its file does.

Values that were computed from an image are stored under its id, so that they are found again while
the file is the same, and not after it changed. The id is a hash of the file's absolute path, its
size and its time of change (for Parquet also the row in the file), and not of its contents: reading
100 GB to learn that nothing changed would cost more than most of what is stored. The price is that
a set that moved or was copied is computed anew, and that a file rewritten with the same size and
its old time on purpose passes for the old one.

Labels do not enter: the same picture under another label is the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from convgraft.data.imageset import ImageSet

BYTES = 8  # of a million images, two share an id with a chance of 3 in 100 million


def image_ids(images: ImageSet, indices: Sequence[int]) -> NDArray[np.uint64] | None:
    """The ids of the images at `indices`, by what their files are now: uint64 [N].

    None where the set cannot say when an image changes. A file that is gone has an id too, another
    one than before.
    """
    if images.stamps is None:
        return None
    stamps = images.stamps(indices)
    digests = (_digest(stamp) for stamp in stamps)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _digest(stamp: str) -> bytes:
    # surrogateescape: names of files need not be text
    return blake2b(stamp.encode("utf-8", "surrogateescape"), digest_size=BYTES).digest()
