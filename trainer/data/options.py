"""The data sets of this package, free of torch until built: importing them registers them."""

from pathlib import Path
from typing import TYPE_CHECKING

from trainer.data.data_set import OPTIONS, DataOptions, ImageOptions, data
from trainer.options.marks import at_least, between, one_of, where

if TYPE_CHECKING:
    from trainer.data.image_set import ImageSet

__all__ = [
    "OPTIONS",
    "Cifar10",
    "DataOptions",
    "ImageOptions",
    "RandomRegression",
    "Synthetic",
    "data",
]
CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
SYNTHETIC_CLASSES = {
    "waves": "top upper lower bottom corners poles ears core vee tent",
    "shapes": "disc ring square frame triangle plus cross bars posts checks",
}


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
    """Ten classes of 32x32 colour images made from a seed in less than a second.

    Attributes:
        pattern: What tells the classes: `waves` (where waves run: the default model learns them in
            3 epochs, a linear one does not) or `shapes` (harder, the images of version 0.1).
        seed: Seed of the images; the run's own `seed` does not change them.
        train_images: Number of training images made.
        test_images: Number of test images made.
    """

    pattern: str = one_of(tuple(SYNTHETIC_CLASSES), "waves", before="shapes")
    seed: int = at_least(0, 0)
    train_images: int = between(10, 1_000_000, 10_000)
    test_images: int = between(10, 1_000_000, 2_000)

    def available(self) -> int:
        """Training images in the whole data set."""
        return self.train_images

    def classes(self) -> tuple[str, ...]:
        """Class names, in label order."""
        return tuple(SYNTHETIC_CLASSES[self.pattern].split())

    def build(self) -> "tuple[ImageSet, ImageSet, str]":
        """Both sets, and the SHA-256 of the whole."""
        from trainer.data import synthetic

        sizes = self.train_images, self.test_images
        return synthetic.make(self.seed, *sizes, self.pattern)


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
