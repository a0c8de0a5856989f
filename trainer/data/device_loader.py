"""Batches cut on the training device, a whole batch at a time."""

import torch

from trainer.data.epoch_table import SIZE, EpochTable
from trainer.data.image_set import ImageSet
from trainer.data.mixup import Mixed, Targets, blend

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)


class DeviceLoader:
    """Holds the images in a black frame and cuts each batch with one gather.

    Every image has a black border of the padding's width on its right and below it; what lies left
    of it and above it is the border of the pixels before it. So a crop is a place in one long row
    of pixels, and its pixels lie where those of every other crop lie from there: a grid, of which
    there is a mirrored one for flips. The arithmetic of the normalisation is that of torchvision's
    `ToTensor` and `Normalize`, operation by operation, so the batches equal theirs bit for bit.

    What could be computed for a whole epoch is in its table, for on a GPU each operation of a batch
    is a launch, and these count: `tests/data/test_launches.py` holds their number.

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
        self.cutout = cutout
        self.mixup = mixup
        self.device = device
        self.normalise = Normalise(device)
        self._labels = images.labels
        self._width = SIZE + padding  # of an image and the border on its right
        self._pixels = self._framed(images.images, padding)
        across = torch.arange(SIZE, device=device)
        down = across[:, None] * self._width
        self._grids = torch.stack([down + across, down + across.flip(0)]).view(2, -1)
        self._squares = _squares(cutout).to(device) if cutout else None
        # At fixed places: a captured graph reads its rows and its weight from them.
        shape = (4 if cutout else 3, 2 if mixup else 1, len(images))
        self.rows = torch.zeros(shape, dtype=torch.int64, device=device)
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
        rows = self.rows[:, :, start + mine : stop : processes].clone()  # the next epoch's go there
        return self._cut(rows, self.weights[step])

    def load(self, table: EpochTable) -> None:
        """Puts an epoch's table on the device, behind what the device is still to do."""
        if table is not self._loaded:
            self._place(self._packed(table), self.rows)
            if table.weights is not None:
                self._place(table.weights, self.weights)
            self._loaded = table

    def batch_at(self, step: torch.Tensor, size: int) -> tuple[torch.Tensor, Targets]:
        """Like `batch`, of the loaded table, with nothing that a graph could not replay.

        Args:
            step: int64 on the device.
            size: Images in it: the batch size, or less in a short last batch.
        """
        numbers = step * self.batch_size + self._numbers[:size]
        weights = self.weights.index_select(0, step.view(1)) if self.mixup else self.weights
        return self._cut(self.rows.index_select(2, numbers), weights[0])

    def _framed(self, images: torch.Tensor, padding: int) -> torch.Tensor:
        """The pixels of all images and their borders, `(P, 3)` uint8, in reading order."""
        count, width = len(images), self._width
        before = padding * (width + 1)  # the border left of the first image and above it
        pixels = torch.zeros(before + count * width**2, 3, dtype=torch.uint8, device=self.device)
        frames = pixels[before:].view(count, width, width, 3)
        frames[:, :SIZE, :SIZE] = images.to(self.device)
        return pixels

    def _packed(self, table: EpochTable) -> torch.Tensor:
        """The table as `self.rows` holds it: pixel of the crop's corner, flip, label and hole.

        With mixup each of these twice: of the image itself, and of its partner.
        """
        tops, lefts = table.offsets.unbind(1)
        corners = (table.order * self._width + tops) * self._width + lefts
        columns = [corners, table.flips.long(), self._labels[table.order]]
        if table.holes is not None:
            rows, middles = table.holes.unbind(1)
            columns.append(rows * SIZE + middles)
        own = torch.stack(columns)[:, None]
        return own if table.partners is None else torch.cat([own, own[:, :, table.partners]], 1)

    def _place(self, values: torch.Tensor, place: torch.Tensor) -> None:
        values = values.pin_memory() if self.device.type == "cuda" else values
        place.copy_(values, non_blocking=True)

    def _cut(self, rows: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, Targets]:
        """The batch of some rows, `(3 or 4, 1 or 2, n)`, and the weight of their blend."""
        corners, flips, labels = rows[:3]
        index = self._grids.index_select(0, flips.view(-1)).add_(corners.view(-1, 1))
        pixels = self._pixels.index_select(0, index.view(-1))
        images = self.normalise(pixels.view(-1, SIZE, SIZE, 3))
        if self._squares is not None:
            images.masked_fill_(self._squares.index_select(0, rows[3].view(-1)), 0.0)
        if not self.mixup:
            return images, labels[0]
        own, others = images.chunk(2)
        return blend(own, others, weight), Mixed(labels[0], labels[1], weight)


def _squares(cutout: int) -> torch.Tensor:
    """Cutout: what is blanked around each middle, `(32 * 32, 1, 32, 32)` bool.

    A square around the middle, cut off at the border.
    """
    axis = torch.arange(SIZE)
    start = (axis - cutout // 2)[:, None]
    inside = (axis >= start) & (axis < start + cutout)
    return (inside[:, None, :, None] & inside[None, :, None, :]).view(-1, 1, SIZE, SIZE)


class Normalise:
    """From uint8 pixels to what the network sees.

    What becomes of each of the 256 values in each of the three channels is computed once: looking
    it up is two launches, computing it again for every pixel four.

    Args:
        device: Where the pixels are.
    """

    def __init__(self, device: torch.device) -> None:
        mean, std = torch.tensor(MEAN, device=device), torch.tensor(STD, device=device)
        # A tensor, because CUDA divides by a Python number by multiplying with its reciprocal.
        full = torch.tensor(255.0, device=device)
        values = torch.arange(256.0, device=device)[:, None]
        self._values = values.div(full).sub(mean).div(std).T.reshape(-1)
        self._channels = torch.arange(3, dtype=torch.int32, device=device) * 256

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Images `(n, 32, 32, 3)` uint8 as `(n, 3, 32, 32)` float32, channels_last."""
        numbers = images + self._channels
        normalised = self._values.index_select(0, numbers.flatten()).view(images.shape)
        return normalised.permute(0, 3, 1, 2)
