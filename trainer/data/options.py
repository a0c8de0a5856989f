"""Options of the `data` group: what a user can say about data, free of torch."""

import math
from dataclasses import dataclass
from pathlib import Path

LOADERS = ("device", "torchvision")
CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
FEATURES = 10  # of an example of random_regression
SYNTHETIC_CLASSES = "disc ring square frame triangle plus cross bars posts checks"


@dataclass(slots=True, kw_only=True)
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

    name: str = "?"
    train_size: int | None = None
    val_size: int = 0
    loader: str = "device"
    workers: int = 0
    drop_last: bool = True

    def available(self) -> int:
        """Training images in the whole data set."""
        return 0

    def classes(self) -> tuple[str, ...]:
        """Class names in label order, known without the data; none: nothing is classified."""
        return ()

    def anchor(self) -> None:
        """Makes its paths absolute, where it has any."""

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
        if self.train_size is not None and self.train_size < 1:
            raise ValueError(f"{key}.train_size={self.train_size}: must be at least 1, or null")
        if self.val_size < 0:
            raise ValueError(f"{key}.val_size={self.val_size}: must not be negative")
        if self.loader not in LOADERS:
            raise ValueError(f"{key}.loader={self.loader}: must be one of {', '.join(LOADERS)}")
        if self.workers < 0:
            raise ValueError(f"{key}.workers={self.workers}: must not be negative")
        if self.workers and self.loader == "device":
            raise ValueError(
                f"{key}.workers={self.workers}: the device loader has no workers; "
                f"set {key}.loader=torchvision or {key}.workers=0"
            )


@dataclass(slots=True, kw_only=True)
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

    crop_padding: int = 4
    flip: bool = True
    cutout: int = 0

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""
        DataOptions.check(self, key)
        if not 0 <= self.crop_padding <= 16:
            raise ValueError(f"{key}.crop_padding={self.crop_padding}: must be in 0..16")
        if not 0 <= self.cutout <= 32:
            raise ValueError(f"{key}.cutout={self.cutout}: must be in 0..32")


@dataclass(slots=True, kw_only=True)
class Cifar10(ImageOptions):
    """CIFAR-10: 50,000 training and 10,000 test images, 32x32 colour, 10 classes.

    Attributes:
        root: Folder that holds `cifar-10-batches-py/` or `cifar-10-python.tar.gz`.
        download: Fetch the archive once if it is not there.
        url: https address of the archive; any mirror will do, the checksum decides.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """

    name: str = "cifar10"
    root: str = "data"
    download: bool = True
    url: str = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"

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
        ImageOptions.check(self, key)
        if not self.url.startswith("https://"):
            raise ValueError(f"{key}.url={self.url}: must start with https://")
        if not self.root:
            raise ValueError(f"{key}.root: must name a folder")


@dataclass(slots=True, kw_only=True)
class Synthetic(ImageOptions):
    """Ten learnable classes of 32x32 colour images made from a seed in about a second.

    Attributes:
        seed: Seed of the images; the run's own `seed` does not change them.
        train_images: Number of training images made.
        test_images: Number of test images made.
    """

    name: str = "synthetic"
    seed: int = 0
    train_images: int = 10_000
    test_images: int = 2_000

    def available(self) -> int:
        """Training images in the whole data set."""
        return self.train_images

    def classes(self) -> tuple[str, ...]:
        """Names of the shapes, in label order."""
        return tuple(SYNTHETIC_CLASSES.split())

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""
        ImageOptions.check(self, key)
        for name, value in (("train_images", self.train_images), ("test_images", self.test_images)):
            if not 10 <= value <= 1_000_000:
                raise ValueError(f"{key}.{name}={value}: must be in 10..1000000")
        if self.seed < 0 or not math.isfinite(self.seed):
            raise ValueError(f"{key}.seed={self.seed}: must not be negative")


@dataclass(slots=True, kw_only=True)
class RandomRegression(DataOptions):
    """Ten normal features and a value that depends on them linearly, but for noise.

    Attributes:
        seed: Seed of the examples; the run's own `seed` does not change them.
        train_examples: Number of training examples made.
        test_examples: Number of test examples made.
        noise: Standard deviation of the noise in the values, at least 0.
    """

    name: str = "random_regression"
    seed: int = 0
    train_examples: int = 1_000
    test_examples: int = 200
    noise: float = 0.1

    def available(self) -> int:
        """Training examples in the whole data set."""
        return self.train_examples

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""
        DataOptions.check(self, key)
        for name in ("train_examples", "test_examples"):
            if not 1 <= (value := getattr(self, name)) <= 1_000_000:
                raise ValueError(f"{key}.{name}={value}: must be in 1..1000000")
        if self.seed < 0:
            raise ValueError(f"{key}.seed={self.seed}: must not be negative")
        if not (math.isfinite(self.noise) and self.noise >= 0):
            raise ValueError(f"{key}.noise={self.noise}: must be at least 0")
        if self.loader != "device":
            raise ValueError(f"{key}.loader={self.loader}: these are no images; must be device")


OPTIONS: dict[str, type[DataOptions]] = {
    "cifar10": Cifar10,
    "synthetic": Synthetic,
    "random_regression": RandomRegression,
}
