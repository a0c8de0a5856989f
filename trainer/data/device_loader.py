"""Batches cut on the training device, a whole batch at a time."""

import torch

from trainer.data.epoch_table import SIZE, EpochTable
from trainer.data.image_set import ImageSet
from trainer.data.mixup import Mixed, Targets, blend

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)


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
        cutout: Side of the square that is blanked; 0: none.
        mixup: Whether each image is blended with its partner.
        share: Of several processes, which one this is and how many there are: each gets every
            n-th row of a batch.
    """

    def __init__(
        self,
        images: ImageSet,
        device: torch.device,
        *,
        batch_size: int,
        padding: int,
        cutout: int = 0,
        mixup: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.batch_size = batch_size
        self.share = share
        self.padding = padding
        self.cutout = cutout
        self.mixup = mixup
        self.device = device
        self.labels = images.labels.to(device)
        black = torch.zeros(1, 3, dtype=torch.uint8, device=device)
        self.pixels = torch.cat([images.images.to(device).view(-1, 3), black])
        self.black = len(self.pixels) - 1
        self.axis = torch.arange(SIZE, device=device)
        self.normalise = Normalise(device)
        # At fixed places: a captured graph reads its rows and its weight from them.
        columns = 4 + 2 * bool(cutout) + mixup
        self.rows = torch.zeros(len(images), columns, dtype=torch.int64, device=device)
        self.weights = torch.ones(-(-len(images) // batch_size), device=device)
        self._loaded: EpochTable | None = None
        self._numbers = torch.arange(batch_size, device=device)

    def batch(self, table: EpochTable, step: int) -> tuple[torch.Tensor, Targets]:
        """Batch `step` of the epoch.

        Returns:
            Images `(n, 3, 32, 32)` float32, channels_last and normalised, and labels `(n,)` int64;
            n is the batch size, or less in a short last batch, or this process's share.
        """
        self.load(table)
        mine, processes = self.share
        start, stop = step * self.batch_size, (step + 1) * self.batch_size
        return self.cut(self.rows[start:stop][mine::processes], self.weights[step])

    def load(self, table: EpochTable) -> None:
        """Puts an epoch's table on the device, behind what the device is still to do."""
        if table is not self._loaded:
            self._place(table.packed(), self.rows)
            if table.weights is not None:
                self._place(table.weights, self.weights)
            self._loaded = table

    def _place(self, values: torch.Tensor, place: torch.Tensor) -> None:
        values = values.pin_memory() if self.device.type == "cuda" else values
        place.copy_(values, non_blocking=True)

    def batch_at(self, step: torch.Tensor, size: int) -> tuple[torch.Tensor, Targets]:
        """Like `batch`, of the loaded table, with nothing that a graph could not replay.

        Args:
            step: int64 on the device.
            size: Images in it: the batch size, or less in a short last batch.
        """
        rows = self.rows.index_select(0, step * self.batch_size + self._numbers[:size])
        return self.cut(rows, self.weights.index_select(0, step.view(1)).view(()))

    def cut(self, rows: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, Targets]:
        """The batch of some rows of a packed table, `(n, 4)` int64 or as wide as it is.

        Args:
            rows: The rows.
            weight: `()` float32, the share of the images themselves; for mixup only.
        """
        images, labels = self._images(rows), self.labels.index_select(0, rows[:, 0])
        if not self.mixup:
            return images, labels
        partners = self.rows.index_select(0, rows[:, -1])
        others = self.labels.index_select(0, partners[:, 0])
        return blend(images, self._images(partners), weight), Mixed(labels, others, weight)

    def _images(self, rows: torch.Tensor) -> torch.Tensor:
        order, tops, lefts, flips = rows[:, :4].unbind(1)
        y = self.axis + (tops[:, None] - self.padding)
        x = torch.where(flips[:, None] == 1, SIZE - 1 - self.axis, self.axis)
        x = x + (lefts[:, None] - self.padding)
        inside = ((y >= 0) & (y < SIZE))[:, :, None] & ((x >= 0) & (x < SIZE))[:, None, :]
        index = (order[:, None] * SIZE + y)[:, :, None] * SIZE + x[:, None, :]
        index = torch.where(inside, index, self.black)
        images = self.pixels.index_select(0, index.view(-1)).view(-1, SIZE, SIZE, 3)
        normalised = self.normalise(images)
        return self._blanked(normalised, rows[:, 4:6]) if self.cutout else normalised

    def _blanked(self, images: torch.Tensor, holes: torch.Tensor) -> torch.Tensor:
        """Cutout: the mean colour in a square around the hole's middle, cut off at the border."""
        start = (holes - self.cutout // 2)[:, :, None]
        rows, columns = ((self.axis >= start) & (self.axis < start + self.cutout)).unbind(1)
        return images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


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
