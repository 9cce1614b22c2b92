"""Images that are decoded whenever they are asked for: nothing but names and labels is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from convgraft.data.broken import BrokenImage
from convgraft.data.decoded import Decoded, decoded_batches
from convgraft.data.imageset import ImageSet
from convgraft.data.pixels import Pixels, chosen_images
from convgraft.data.shard_order import shard_order
from convgraft.errors import DataError

Batch = tuple[tuple[Tensor, ...], dict[str, Tensor]]
View = Callable[[int, Tensor], Tensor]


class Streamed(Pixels):
    """`Pixels` without the pixels: `images` decodes the rows that it is asked for.

    A broken image is found when it is first read. Its batch is smaller by it, and from then on it
    is not in `labels`, `indices` and `others`, but in `broken`. Rows count all images, also those.

    Attributes:
        set: where images come from.
        size: side in pixels that they are resized to.
        rows: for each row, the index of its image in the set, int64 [N].
    """

    def __init__(
        self,
        images: ImageSet,
        size: int,
        *,
        indices: Sequence[int] | None = None,
        strict: bool = False,
        workers: int = 2,
        skip: Collection[str] = (),
    ) -> None:
        """Nothing is read yet.

        Args:
            images, size, indices: as for `load_pixels`.
            strict: raise for a broken image instead of leaving it out.
            workers: threads that decode.
            skip: names of images that are known to be broken.

        Raises:
            DataError: `size` or an index is out of range.
        """
        out = frozenset(skip)
        chosen = chosen_images(images, size, indices)
        rows = [index for index in chosen if images.ids[index] not in out] if out else chosen
        self.set, self.size, self.strict, self.workers = images, size, strict, workers
        self.rows = np.array(rows, dtype=np.int64)
        columns = {"": images.labels} | {n: c.labels for n, c in images.others.items()}
        self._columns = {n: torch.from_numpy(one[self.rows]) for n, one in columns.items()}
        self._left_out: dict[int, BrokenImage] = {}
        super().__init__(cast(Tensor, LazyImages(self)), *self._kept(slice(None)))

    def order(self, *numbers: int) -> Tensor:
        """All rows, shuffled by shard and buffer (see `shard_order`): int64 [N]."""
        layout = self.set.layout
        if layout is None:
            return torch.from_numpy(shard_order([len(self.rows)], *numbers))
        lengths = np.bincount(layout.run_of(self.rows), minlength=1)
        return torch.from_numpy(shard_order(lengths[lengths > 0].tolist(), *numbers))

    def set_epoch(self, epoch: int) -> None:
        """They are the same in every epoch."""

    def batch(self, rows: Tensor) -> Batch:
        """The images at some rows (int64 [N]) without broken ones, and their labels by column."""
        return next(self.batches([rows]))

    def batches(self, shares: Sequence[Tensor], view: View | None = None) -> Iterator[Batch]:
        """Batch after batch; the next ones are decoded while the caller works on one.

        Args:
            shares: rows of each batch, int64.
            view: what is made of the image in a row, in this thread.

        Raises:
            BrokenImage: with `strict`.
        """
        places = [self.sound(rows) for rows in shares]
        chosen = [self.rows[rows.numpy()] for rows in places]
        stream = decoded_batches(self.set, self.size, chosen, workers=self.workers)
        for rows, found in zip(places, stream, strict=True):
            yield self.finished(rows, found, view)

    def finished(self, rows: Tensor, found: Decoded, view: View | None = None) -> Batch:
        """A decoded batch of these rows with its labels; its broken images are noted."""
        self.leave_out({int(rows[place]): one for place, one in found.broken.items()})
        kept = rows[list(found.kept)] if found.broken else rows
        pixels = found.pixels
        if view is not None and len(kept):
            pixels = torch.stack([view(r, x) for r, x in zip(kept.tolist(), pixels, strict=True)])
        return (pixels,), {name: column[kept] for name, column in self._columns.items()}

    def sound(self, rows: Tensor) -> Tensor:
        """Those of some rows that are not known to be broken."""
        out = self._left_out
        if not out:
            return rows
        return rows[~torch.isin(rows, torch.tensor(list(out), dtype=torch.int64))]

    def agreed(self, gather: Callable[[Any], list[Any]]) -> Tensor:
        """The rows that none of several processes found broken; all then know of the others.

        Args:
            gather: gives what every process gave, in their order; all of them ask together.
        """
        known = [[row, one.id, one.reason] for row, one in self._left_out.items()]
        told = {row: BrokenImage(id, why) for found in gather(known) for row, id, why in found}
        self.leave_out({row: one for row, one in told.items() if row not in self._left_out})
        return self.sound(torch.arange(len(self.rows)))

    def leave_out(self, found: Mapping[int, BrokenImage]) -> None:
        """Note broken images by row; raises the first of them where the set is `strict`.

        Raises:
            BrokenImage: with `strict`.
            DataError: no image is left.
        """
        if not found:
            return
        if self.strict:
            raise found[min(found)]
        self._note(found)

    def _note(self, found: Mapping[int, BrokenImage]) -> None:
        self._left_out.update(found)
        if len(self._left_out) == len(self.rows):
            raise DataError(
                f"none of the {len(self.rows)} images of {self.set.location} can be read",
                found=str(next(iter(found.values()))),
            )
        kept = np.delete(np.arange(len(self.rows)), list(self._left_out))
        names = ("labels", "indices", "broken", "others")
        for name, value in zip(names, self._kept(kept), strict=True):
            object.__setattr__(self, name, value)  # the one thing about pixels that is found late

    def _kept(self, rows: Any) -> tuple[Tensor, tuple[int, ...], tuple[BrokenImage, ...], Any]:
        columns = {name: column[rows] for name, column in self._columns.items()}
        broken = tuple(self._left_out[row] for row in sorted(self._left_out))
        return columns.pop(""), tuple(self.rows[rows].tolist()), broken, columns


class LazyImages:
    """Stands for uint8 [N, 3, S, S]; what is taken of it is decoded then.

    Of what is taken, broken images are missing.
    """

    def __init__(self, streamed: Streamed) -> None:
        self._streamed = streamed
        self.shape = torch.Size((len(streamed.rows), 3, streamed.size, streamed.size))
        self.dtype, self.device = torch.uint8, torch.device("cpu")

    def __len__(self) -> int:
        """The number of rows, broken images as well."""
        return self.shape[0]

    def sound(self, rows: Tensor) -> Tensor:
        """As `Streamed.sound`."""
        return self._streamed.sound(rows)

    def agreed(self, gather: Callable[[Any], list[Any]]) -> Tensor:
        """As `Streamed.agreed`."""
        return self._streamed.agreed(gather)

    def __getitem__(self, key: Any) -> Tensor:
        """The images at a row, a slice of rows or int64 [n] rows, as a tensor would give them."""
        rows = torch.arange(len(self))[key]
        (pixels,), _ = self._streamed.batch(rows.reshape(-1))
        return pixels.reshape(*rows.shape, *pixels.shape[1:]) if not rows.dim() else pixels
