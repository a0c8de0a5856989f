"""Batches cut on the training device, a whole batch at a time."""

import torch

from trainer.data.epoch_table import EpochTable
from trainer.data.image_set import ImageSet

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)
SIZE = 32


class DeviceLoader:
    """Holds the images as rows of pixels and cuts each batch with one gather.

    Crop, flip and black border come out of one index computation: output pixel (y, x) of an image
    reads the pixel at (y + top - padding, x + left - padding), mirrored x where it is flipped, and
    a black pixel outside the image. The arithmetic of the normalisation is that of torchvision's
    `ToTensor` and `Normalize`, operation by operation, so the batches equal theirs bit for bit.

    Args:
        images: The training images.
        device: Where they lie and the batches come out.
        batch_size: Images per batch.
        padding: Black pixels on each side before the crop.
    """

    def __init__(
        self, images: ImageSet, device: torch.device, *, batch_size: int, padding: int
    ) -> None:
        self.batch_size = batch_size
        self.padding = padding
        self.device = device
        self.labels = images.labels.to(device)
        black = torch.zeros(1, 3, dtype=torch.uint8, device=device)
        self.pixels = torch.cat([images.images.to(device).view(-1, 3), black])
        self.black = len(self.pixels) - 1
        self.axis = torch.arange(SIZE, device=device)
        self.normalise = Normalise(device)
        # At a fixed place: a captured graph reads its rows from it.
        self.rows = torch.zeros(len(images), 4, dtype=torch.int64, device=device)
        self._loaded: EpochTable | None = None
        self._numbers = torch.arange(batch_size, device=device)

    def batch(self, table: EpochTable, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Batch `step` of the epoch.

        Returns:
            Images `(n, 3, 32, 32)` float32, channels_last and normalised, and labels `(n,)` int64;
            n is the batch size, or less in a short last batch.
        """
        self.load(table)
        return self.cut(self.rows[step * self.batch_size : (step + 1) * self.batch_size])

    def load(self, table: EpochTable) -> None:
        """Puts an epoch's table on the device, behind what the device is still to do."""
        if table is not self._loaded:
            packed = table.packed()
            if self.device.type == "cuda":
                packed = packed.pin_memory()
            self.rows.copy_(packed, non_blocking=True)
            self._loaded = table

    def batch_at(self, step: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Like `batch`, of the loaded table, with nothing that a graph could not replay.

        Args:
            step: int64 on the device.
            size: Images in it: the batch size, or less in a short last batch.
        """
        return self.cut(self.rows.index_select(0, step * self.batch_size + self._numbers[:size]))

    def cut(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch of some rows of a packed table, `(n, 4)` int64."""
        order, tops, lefts, flips = rows.unbind(1)
        y = self.axis + (tops[:, None] - self.padding)
        x = torch.where(flips[:, None] == 1, SIZE - 1 - self.axis, self.axis)
        x = x + (lefts[:, None] - self.padding)
        inside = ((y >= 0) & (y < SIZE))[:, :, None] & ((x >= 0) & (x < SIZE))[:, None, :]
        index = (order[:, None] * SIZE + y)[:, :, None] * SIZE + x[:, None, :]
        index = torch.where(inside, index, self.black)
        images = self.pixels.index_select(0, index.view(-1)).view(-1, SIZE, SIZE, 3)
        return self.normalise(images), self.labels.index_select(0, order)


class Normalise:
    """From uint8 pixels to what the network sees.

    Args:
        device: Where the pixels are.
    """

    def __init__(self, device: torch.device) -> None:
        self.mean = torch.tensor(MEAN, device=device)
        self.std = torch.tensor(STD, device=device)
        # A tensor, because CUDA divides by a Python number by multiplying with its reciprocal.
        self.full = torch.tensor(255.0, device=device)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Images `(n, 32, 32, 3)` uint8 as `(n, 3, 32, 32)` float32, channels_last."""
        scaled = images.float().div_(self.full).sub_(self.mean).div_(self.std)
        return scaled.permute(0, 3, 1, 2)
