"""An epoch as a table: the order of the images and how each is cropped and mirrored."""

import hashlib
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

    def to(self, device: torch.device) -> "EpochTable":
        """The table on a device; the host does not wait for the copy."""
        columns = (self.order, self.offsets, self.flips)
        if device.type == "cuda":
            columns = tuple(column.pin_memory() for column in columns)
        return EpochTable(*(column.to(device, non_blocking=True) for column in columns))


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
