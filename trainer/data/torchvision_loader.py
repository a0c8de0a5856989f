"""The same batches by torchvision's operations on PIL images, in a DataLoader."""

import signal
from collections.abc import Iterator
from typing import Any, cast

import torch
from PIL.Image import Image
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import functional as transforms

from trainer.data.device_loader import MEAN, STD
from trainer.data.epoch_table import SIZE, EpochTable
from trainer.data.image_set import ImageSet
from trainer.data.mixup import Mixed, Targets, blend

Hole = tuple[int, int]
Row = tuple[int, int, int, bool, Hole | None]
Sample = tuple[torch.Tensor, int]
WORKER_TIMEOUT = 60  # seconds without a batch before a worker counts as hung


class TorchvisionLoader:
    """RandomCrop, RandomHorizontalFlip, ToTensor and Normalize, driven by the epoch table.

    Args:
        images: The training images.
        device: Where the batches are sent.
        batch_size: Images per batch.
        padding: Black pixels on each side before the crop.
        workers: Processes; 0: in this one.
        cutout: Side of the square that is blanked; 0: none.
        share: As in `DeviceLoader`.
    """

    def __init__(
        self,
        images: ImageSet,
        device: torch.device,
        *,
        batch_size: int,
        padding: int,
        workers: int,
        cutout: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.device = device
        self.sampler = TableSampler(batch_size, share)
        self.loader = DataLoader(
            AugmentedImages(images, padding, cutout),
            batch_sampler=self.sampler,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            timeout=WORKER_TIMEOUT if workers else 0,
            # Each iteration draws a seed for the workers; from the global generator it would
            # change what the model draws.
            generator=torch.Generator(),
            worker_init_fn=_leave_signals_to_the_trainer,
        )
        self._batches: Iterator[list[torch.Tensor]] | None = None
        self._next: tuple[EpochTable, int] | None = None
        self._weights: torch.Tensor | None = None

    def batch(self, table: EpochTable, step: int) -> tuple[torch.Tensor, Targets]:
        """Batch `step` of the epoch, like `DeviceLoader.batch`; fastest when asked for in order."""
        expected = self._next is not None and self._next[0] is table and self._next[1] == step
        if not expected or self._batches is None:
            self.sampler.start(table, step)
            self._batches = iter(self.loader)
            self._weights = self._sent(table.weights)
        images, labels = next(self._batches)
        self._next = (table, step + 1)
        images = images.to(self.device, non_blocking=True, memory_format=torch.channels_last)
        labels = labels.to(self.device, non_blocking=True)
        if self._weights is None:
            return images, labels
        (images, others), (own, other) = images.chunk(2), labels.chunk(2)
        weight = self._weights[step]
        return blend(images, others, weight), Mixed(own, other, weight)

    def _sent(self, weights: torch.Tensor | None) -> torch.Tensor | None:
        """An epoch's weights on the device: one by one the host would wait at every batch."""
        if weights is not None and self.device.type == "cuda":
            weights = weights.pin_memory()
        return None if weights is None else weights.to(self.device, non_blocking=True)


class TableSampler(Sampler[list[Row]]):
    """Deals out the rows of an epoch table in batches, from any step on.

    Args:
        batch_size: Rows per batch.
        share: As in `DeviceLoader`.
    """

    def __init__(self, batch_size: int, share: tuple[int, int] = (0, 1)) -> None:
        self.batch_size = batch_size
        self.share = share
        self.rows: list[Row] = []
        self.partners: list[Row] = []

    def start(self, table: EpochTable, step: int) -> None:
        """The next iteration begins at batch `step` of `table`."""
        first = step * self.batch_size
        tops, lefts = table.offsets.T.tolist()
        none = [None] * len(table.order)
        holes = none if table.holes is None else [(y, x) for y, x in table.holes.tolist()]
        order, flips = table.order.tolist(), table.flips.tolist()
        rows = list(zip(order, tops, lefts, flips, holes, strict=True))
        self.rows = rows[first:]
        if table.partners is not None:
            self.partners = [rows[partner] for partner in table.partners[first:].tolist()]

    def __iter__(self) -> Iterator[list[Row]]:
        """Batches of rows; with mixup the rows that are blended into them come behind."""
        mine, processes = self.share
        for start in range(0, len(self.rows), self.batch_size):
            batch = slice(start, start + self.batch_size)
            yield self.rows[batch][mine::processes] + self.partners[batch][mine::processes]

    def __len__(self) -> int:
        """Batches left in the epoch."""
        return -(-len(self.rows) // self.batch_size)


class AugmentedImages(Dataset[Sample]):
    """One augmented image per table row.

    Args:
        images: The training images.
        padding: Black pixels on each side before the crop.
        cutout: Side of the square that is blanked.
    """

    def __init__(self, images: ImageSet, padding: int, cutout: int) -> None:
        self.images = images.images.numpy()
        self.labels = images.labels.tolist()
        self.padding = padding
        self.cutout = cutout

    def __getitem__(self, row: Row) -> Sample:
        """The image `(3, 32, 32)` float32 and label of a row (image, top, left, flip, hole)."""
        number, top, left, flip, hole = row
        image: Image = transforms.to_pil_image(self.images[number])
        # torchvision's functions take and give PIL images, but are annotated for tensors alone.
        padded: Any = transforms.pad(cast(Any, image), [self.padding])
        cut: Any = transforms.crop(padded, top, left, SIZE, SIZE)
        mirrored: Any = transforms.hflip(cut) if flip else cut
        pixels = transforms.normalize(transforms.to_tensor(mirrored), list(MEAN), list(STD))
        return (self._blanked(pixels, hole) if hole else pixels), self.labels[number]

    def _blanked(self, pixels: torch.Tensor, hole: Hole) -> torch.Tensor:
        top, left = (max(middle - self.cutout // 2, 0) for middle in hole)
        bottom, right = (min(middle - self.cutout // 2 + self.cutout, SIZE) for middle in hole)
        return transforms.erase(pixels, top, left, bottom - top, right - left, torch.zeros(()))


def _leave_signals_to_the_trainer(worker: int) -> None:
    # Ctrl-C reaches the whole process group, and a forked worker inherits the trainer's handlers:
    # workers must neither die first nor swallow the SIGTERM that ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
