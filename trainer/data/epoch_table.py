"""An epoch as a table: the order of the images and what is done to each."""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

SIZE = 32  # of an image, in pixels


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
        holes: `(N, 2)` int64, row and column of the middle of the square that cutout blanks, each
            uniform in `0..31`; None: no cutout.
        partners: `(N,)` int64, the row that mixup blends into this one, a permutation within each
            batch; None: no mixup.
        weights: `(steps,)` float32, each batch's own share in the blend; None: no mixup.
    """

    order: torch.Tensor
    offsets: torch.Tensor
    flips: torch.Tensor
    holes: torch.Tensor | None = None
    partners: torch.Tensor | None = None
    weights: torch.Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """What an epoch table draws for each image.

    Attributes:
        padding: Pixels on each side before the crop; 0: no crop.
        flip: Whether images are mirrored at all.
        cutout: Whether a square of each is blanked.
        mixup: Both parameters of the Beta distribution of the weights; 0: no mixup.
        batch_size: Images per batch, within which mixup finds its partners.
    """

    padding: int
    flip: bool
    cutout: bool = False
    mixup: float = 0.0
    batch_size: int = 1

    def table(self, seed: int, epoch: int, images: int) -> EpochTable:
        """The table of one epoch.

        What is drawn for cutout and for mixup has streams of its own: neither changes the rest.

        Args:
            seed: The run's seed.
            epoch: 0-based.
            images: Number of training images.
        """
        generator = _generator(f"epoch table: seed {seed}, epoch {epoch}")
        order = torch.randperm(images, generator=generator)
        offsets = torch.randint(2 * self.padding + 1, (images, 2), generator=generator)
        flips = torch.rand(images, generator=generator) < (0.5 if self.flip else 0.0)
        holes = partners = weights = None
        if self.cutout:
            generator = _generator(f"cutout: seed {seed}, epoch {epoch}")
            holes = torch.randint(SIZE, (images, 2), generator=generator)
        if self.mixup:
            text = f"mixup: seed {seed}, epoch {epoch}"
            partners = _partners(images, self.batch_size, _generator(text))
            weights = _weights(-(-images // self.batch_size), self.mixup, text)
        return EpochTable(order, offsets, flips, holes, partners, weights)


def epoch_table(seed: int, epoch: int, images: int, *, padding: int, flip: bool) -> EpochTable:
    """The table of one epoch with crops and flips alone; see `Augmentation.table`."""
    return Augmentation(padding=padding, flip=flip).table(seed, epoch, images)


def _generator(text: str) -> torch.Generator:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little", signed=True)
    return torch.Generator().manual_seed(number)


def _partners(images: int, batch_size: int, generator: torch.Generator) -> torch.Tensor:
    """A permutation of the rows of each batch, `(images,)` int64, as row numbers."""
    batch = torch.arange(images) // batch_size
    shuffled = torch.randperm(images, generator=generator)
    return shuffled[batch[shuffled].argsort(stable=True)]


def _weights(steps: int, alpha: float, text: str) -> torch.Tensor:
    # torch's Beta draws from the global generator alone; the numbers of a RandomState are promised
    # never to change (NEP 19).
    seed = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint32)
    drawn = np.random.RandomState(seed).beta(alpha, alpha, steps)
    return torch.from_numpy(drawn.astype(np.float32))


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
