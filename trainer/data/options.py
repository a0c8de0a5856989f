"""Options of the `data` group: what a user can say about data, free of torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
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
CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
SYNTHETIC_CLASSES = "disc ring square frame triangle plus cross bars posts checks"


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


@data("cifar10")
class Cifar10(ImageOptions):
    """CIFAR-10: 50,000 training and 10,000 test images, 32x32 colour, 10 classes.

    Attributes:
        root: Folder that holds `cifar-10-batches-py/` or `cifar-10-python.tar.gz`.
        download: Fetch the archive once if it is not there.
        url: https address of the archive; any mirror will do, the checksum decides.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """

    root: str = where("data")
    download: bool = where(True)
    url: str = where("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz")

    def available(self) -> int:
        """Training images in the whole data set."""
        return 50_000

    def classes(self) -> tuple[str, ...]:
        """Class names in label order, as in `batches.meta`."""
        return tuple(CIFAR10_CLASSES.split())

    def anchor(self) -> None:
        """Makes the folder's path absolute."""
        self.root = str(Path(self.root).expanduser().absolute())

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""
        super().check(key)
        if not self.url.startswith("https://"):
            raise ValueError(f"{key}.url={self.url}: must start with https://")
        if not self.root:
            raise ValueError(f"{key}.root: must name a folder")

    def provide(self) -> None:
        """Finds the files below `root`, or downloads the archive."""
        from trainer.data import cifar10_files

        cifar10_files.provide(self.root, self.download, self.url)

    def build(self) -> "tuple[ImageSet, ImageSet, str]":
        """Both sets, and the SHA-256 of the whole."""
        from trainer.data import cifar10, cifar10_files

        return cifar10.load(cifar10_files.provide(self.root, self.download, self.url))


@data("synthetic")
class Synthetic(ImageOptions):
    """Ten learnable classes of 32x32 colour images made from a seed in about a second.

    Attributes:
        seed: Seed of the images; the run's own `seed` does not change them.
        train_images: Number of training images made.
        test_images: Number of test images made.
    """

    seed: int = at_least(0, 0)
    train_images: int = between(10, 1_000_000, 10_000)
    test_images: int = between(10, 1_000_000, 2_000)

    def available(self) -> int:
        """Training images in the whole data set."""
        return self.train_images

    def classes(self) -> tuple[str, ...]:
        """Names of the shapes, in label order."""
        return tuple(SYNTHETIC_CLASSES.split())

    def build(self) -> "tuple[ImageSet, ImageSet, str]":
        """Both sets, and the SHA-256 of the whole."""
        from trainer.data import synthetic

        return synthetic.make(self.seed, self.train_images, self.test_images)


@data("random_regression")
class RandomRegression(DataOptions):
    """Ten normal features and a value that depends on them linearly, but for noise.

    Attributes:
        seed: Seed of the examples; the run's own `seed` does not change them.
        train_examples: Number of training examples made.
        test_examples: Number of test examples made.
        noise: Standard deviation of the noise in the values, at least 0.
    """

    seed: int = at_least(0, 0)
    train_examples: int = between(1, 1_000_000, 1_000)
    test_examples: int = between(1, 1_000_000, 200)
    noise: float = at_least(0, 0.1)

    def available(self) -> int:
        """Training examples in the whole data set."""
        return self.train_examples

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""
        super().check(key)
        if self.loader != "device":
            raise ValueError(f"{key}.loader={self.loader}: these are no images; must be device")

    def build(self) -> "tuple[ImageSet, ImageSet, str]":
        """Both sets, and the SHA-256 of the whole."""
        from trainer.data import random_regression

        sizes = self.train_examples, self.test_examples
        return random_regression.make(self.seed, *sizes, self.noise)
