"""The one form in which every data set reaches the loaders."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images and labels held in memory; of a regression features `(N, f)` and values `(N,)`.

    Attributes:
        images: `(N, 32, 32, 3)` uint8: rows, columns, red-green-blue.
        labels: `(N,)` int64, each in `0..len(classes) - 1`.
        classes: Class names in label order.
    """

    images: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def slice(self, start: int, stop: int) -> "ImageSet":
        """The images `start..stop - 1`, without a copy."""
        return ImageSet(self.images[start:stop], self.labels[start:stop], self.classes)
