"""An epoch as a table: the order of the images and how each is cropped and mirrored."""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class EpochTable:
    """One row per image of the epoch, in the order of training.

    A pure function of (seed, epoch): the same on every device, loader and number of workers, and
    after every restart. So the batch of (seed, epoch, step) can be computed at any time.

    Attributes:
        order: `(N,)` int64, a permutation of the image numbers.
        offsets: `(N, 2)` int64, top and left corner of the crop in the padded image, each
            uniform in `0..2 * padding`.
        flips: `(N,)` bool, True for half of the images on average.
    """

    order: torch.Tensor
    offsets: torch.Tensor
    flips: torch.Tensor

    def rows(self, start: int, stop: int) -> "EpochTable":
        """The rows `start..stop - 1`."""
        return EpochTable(self.order[start:stop], self.offsets[start:stop], self.flips[start:stop])

    def packed(self) -> torch.Tensor:
        """The table as one tensor `(N, 4)` int64: image, top, left, flip (0 or 1)."""
        return torch.cat([self.order[:, None], self.offsets, self.flips[:, None].long()], 1)


def epoch_table(seed: int, epoch: int, images: int, *, padding: int, flip: bool) -> EpochTable:
    """The table of one epoch.

    Args:
        seed: The run's seed.
        epoch: 0-based.
        images: Number of training images.
        padding: Pixels on each side before the crop; 0: no crop.
        flip: Whether images are mirrored at all.
    """
    text = f"epoch table: seed {seed}, epoch {epoch}"
    generator = torch.Generator().manual_seed(
        int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little", signed=True)
    )
    order = torch.randperm(images, generator=generator)
    offsets = torch.randint(2 * padding + 1, (images, 2), generator=generator)
    flips = torch.rand(images, generator=generator) < (0.5 if flip else 0.0)
    return EpochTable(order, offsets, flips)


class EpochTables:
    """The tables of a run, each made while the epoch before it is trained.

    Args:
        make: Gives the table of an epoch.
        epochs: Length of the run.
        ahead: Whether to make them ahead: where an epoch takes a tenth of a second it counts.
    """

    def __init__(self, make: Callable[[int], EpochTable], epochs: int, *, ahead: bool) -> None:
        self._make = make
        self._epochs = epochs
        self._pool = ThreadPoolExecutor(1, "epoch table") if ahead else None
        self._next: tuple[int, Future[EpochTable]] | None = None

    def take(self, epoch: int) -> EpochTable:
        """The table of an epoch; the next one is made from now on."""
        ready, self._next = self._next, None
        table = ready[1].result() if ready and ready[0] == epoch else self._make(epoch)
        if self._pool is not None and epoch + 1 < self._epochs:
            self._next = epoch + 1, self._pool.submit(self._make, epoch + 1)
        return table

    def close(self) -> None:
        """Ends the thread."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
