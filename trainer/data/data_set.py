"""What every data set is: an option that finds its files, reads them and deals out batches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from typing_extensions import dataclass_transform

from trainer.options.marks import at_least, between, check, one_of, where
from trainer.options.registry import register

if TYPE_CHECKING:
    import torch

    from trainer.data.epoch_table import Augmentation
    from trainer.data.image_set import ImageSet
    from trainer.data.loader import Loader

LOADERS = ("device", "torchvision")


@dataclass(kw_only=True)
class DataOptions:
    """What every data set shares.

    Attributes:
        name: The option's name, as in `data=<name>`.
        train_size: Use the first n training images; null: all.
        val_size: Cut this many images from the end of the training images for validation.
        loader: `device` (in batch, on the training device) or `torchvision` (PIL operations in a
            DataLoader). Both give the same batches.
        workers: Processes of the torchvision loader.
        drop_last: Leave out the last, shorter batch of an epoch.
    """

    gives: ClassVar[str] = "features"  # or "images": what a model has to take

    name: str = "?"
    train_size: int | None = at_least(1, None)
    val_size: int = at_least(0, 0)
    loader: str = where(one_of(LOADERS, "device"))
    workers: int = where(at_least(0, 0))
    drop_last: bool = True

    def available(self) -> int:
        """Training images in the whole data set."""
        return 0

    def classes(self) -> tuple[str, ...]:
        """Class names in label order, known without the data; none: nothing is classified."""
        return ()

    def anchor(self) -> None:
        """Makes its paths absolute, where it has any."""

    def provide(self) -> None:
        """Finds its files, or downloads them.

        Raises:
            FileNotFoundError: If they are not there; one line with the way out.
        """

    def build(self) -> "tuple[ImageSet, ImageSet, str]":
        """Reads or makes all of it: training set, test set, and the SHA-256 of the whole."""
        raise ValueError(f"data.name={self.name}: is not a data set")

    def build_loader(
        self,
        images: "ImageSet",
        device: "torch.device",
        *,
        batch_size: int,
        mixup: bool,
        share: tuple[int, int],
    ) -> "Loader":
        """What cuts the batches out of an epoch's table.

        Args:
            images: The training examples.
            device: Where they are trained on.
            batch_size: Examples per step, all processes together.
            mixup: Whether examples are blended.
            share: Rank of this process and number of processes.
        """
        from trainer.data.value_loader import ValueLoader

        del mixup
        return ValueLoader(images, device, batch_size=batch_size, share=share)

    def augmentation(self, mixup: float, batch_size: int) -> "Augmentation":
        """What is drawn for each example of an epoch."""
        from trainer.data.epoch_table import Augmentation

        del mixup, batch_size
        return Augmentation(padding=0, flip=False)

    def training_images(self) -> int:
        """Training images that are left after the cuts.

        Raises:
            ValueError: If the cuts ask for more than there are.
        """
        left = self.available() - self.val_size
        if left < 1:
            raise ValueError(
                f"data.val_size={self.val_size}: leaves nothing of {self.available()} training "
                "images"
            )
        if self.train_size is not None and self.train_size > left:
            raise ValueError(
                f"data.train_size={self.train_size}: more than the {left} training images there "
                "are" + (f" beside data.val_size={self.val_size}" if self.val_size else "")
            )
        return left if self.train_size is None else self.train_size

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""
        check(self, key)
        if self.workers and self.loader == "device":
            raise ValueError(
                f"{key}.workers={self.workers}: the device loader has no workers; "
                f"set {key}.loader=torchvision or {key}.workers=0"
            )


@dataclass(kw_only=True)
class ImageOptions(DataOptions):
    """What data sets of 32x32 colour images share.

    Attributes:
        crop_padding: Black pixels on each side before the random 32x32 crop; 0 turns it off.
        flip: Mirror each training image with probability 1/2.
        cutout: Side in pixels of the square that is blanked in each training image, around a random
            place and cut off at the border; 0 turns it off. The published runs have 16.

    Source: DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with
    Cutout, 2017 (arXiv 1708.04552): after the normalisation, so that what is blanked has the mean
    colour.
    """

    gives = "images"

    crop_padding: int = between(0, 16, 4)
    flip: bool = True
    cutout: int = between(0, 32, 0)

    def build_loader(
        self,
        images: "ImageSet",
        device: "torch.device",
        *,
        batch_size: int,
        mixup: bool,
        share: tuple[int, int],
    ) -> "Loader":
        """The loader that `data.loader` names."""
        if self.loader == "torchvision":
            # torchvision costs a second or more: only those who use it pay
            from trainer.data.torchvision_loader import TorchvisionLoader

            return TorchvisionLoader(
                images,
                device,
                batch_size=batch_size,
                padding=self.crop_padding,
                workers=self.workers,
                cutout=self.cutout,
                share=share,
            )
        from trainer.data.device_loader import DeviceLoader

        return DeviceLoader(
            images,
            device,
            batch_size=batch_size,
            padding=self.crop_padding,
            cutout=self.cutout,
            mixup=mixup,
            share=share,
        )

    def augmentation(self, mixup: float, batch_size: int) -> "Augmentation":
        """Crop, flip, hole and partner of each image of an epoch."""
        from trainer.data.epoch_table import Augmentation

        return Augmentation(
            padding=self.crop_padding,
            flip=self.flip,
            cutout=self.cutout > 0,
            mixup=mixup,
            batch_size=batch_size,
        )


OPTIONS: dict[str, type[DataOptions]] = {}
D = TypeVar("D", bound=DataOptions)


@dataclass_transform(kw_only_default=True)
def data(name: str) -> Callable[[type[D]], type[D]]:
    """Registers a dataclass as `data=<name>`.

    Raises:
        ValueError: If the name is taken.
    """
    return register("data", OPTIONS, name)
