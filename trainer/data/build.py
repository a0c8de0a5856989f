"""From data options to image sets and a loader."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from trainer.data import cifar10, cifar10_files, options, random_regression, synthetic
from trainer.data.device_loader import DeviceLoader
from trainer.data.epoch_table import EpochTable
from trainer.data.image_set import ImageSet
from trainer.data.mixup import Targets
from trainer.data.value_loader import ValueLoader


class Loader(Protocol):
    """Gives the batches of an epoch."""

    def batch(self, table: EpochTable, step: int) -> tuple[torch.Tensor, Targets]:
        """Images `(n, 3, 32, 32)` float32 and labels `(n,)` int64 of batch `step`.

        With mixup the images are blended, and the labels come with those of the others. Of a
        regression: features `(n, f)` and values `(n,)`, both float32.
        """
        ...


@dataclass(frozen=True, slots=True)
class Data:
    """The images of a run.

    Attributes:
        train: What is trained on.
        evaluation: What is evaluated after an epoch: the validation set if there is one, else the
            test set.
        test: The test set, always whole.
        split: `val` or `test`: what `evaluation` is.
        sha256: Hash of the whole data set, before any cut.
    """

    train: ImageSet
    evaluation: ImageSet
    test: ImageSet
    split: str
    sha256: str


def load_data(option: options.DataOptions) -> Data:
    """Reads or makes the data set and cuts it.

    Raises:
        FileNotFoundError: If it is not there and cannot be downloaded.
        ValueError: If a file is damaged, the cut leaves nothing, or it is not what its option
            says.
    """
    if isinstance(option, options.Cifar10):
        source = cifar10_files.provide(Path(option.root), option.download, option.url)
        whole, test, sha256 = cifar10.load(source)
    elif isinstance(option, options.Synthetic):
        whole, test, sha256 = synthetic.make(option.seed, option.train_images, option.test_images)
    elif isinstance(option, options.RandomRegression):
        sizes = option.train_examples, option.test_examples
        whole, test, sha256 = random_regression.make(option.seed, *sizes, option.noise)
    else:
        raise ValueError(f"data.name={option.name}: must be one of {', '.join(options.OPTIONS)}")
    if isinstance(option, options.ImageOptions):
        whole.check(f"data={option.name}: its training images")
        test.check(f"data={option.name}: its test images")
    if len(whole) != option.available():
        raise ValueError(
            f"data={option.name}: {len(whole)} training images were read, its option says "
            f"{option.available()} (available)"
        )
    train = whole.slice(0, option.training_images())
    if option.val_size:
        validation = whole.slice(len(whole) - option.val_size, len(whole))
        return Data(train, validation, test, "val", sha256)
    return Data(train, test, test, "test", sha256)


def build_loader(
    option: options.DataOptions,
    images: ImageSet,
    device: torch.device,
    batch_size: int,
    *,
    mixup: bool = False,
    share: tuple[int, int] = (0, 1),
) -> Loader:
    """The loader that `data.loader` names; of what is not images, the one there is."""
    if not isinstance(option, options.ImageOptions):
        return ValueLoader(images, device, batch_size=batch_size, share=share)
    if option.loader == "torchvision":
        # torchvision costs a second or more: only those who use it pay
        from trainer.data.torchvision_loader import TorchvisionLoader

        return TorchvisionLoader(
            images,
            device,
            batch_size=batch_size,
            padding=option.crop_padding,
            workers=option.workers,
            cutout=option.cutout,
            share=share,
        )
    return DeviceLoader(
        images,
        device,
        batch_size=batch_size,
        padding=option.crop_padding,
        cutout=option.cutout,
        mixup=mixup,
        share=share,
    )
