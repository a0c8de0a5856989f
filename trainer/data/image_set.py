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

    def check(self, name: str) -> None:
        """Raises ValueError, beginning with a name, unless these are such images and labels."""
        shape = tuple(self.images.shape)
        if self.images.dtype != torch.uint8 or shape[1:] != (32, 32, 3) or not shape[0]:
            kind = str(self.images.dtype).removeprefix("torch.")
            raise ValueError(f"{name}: are {kind} {shape}, must be uint8 (N, 32, 32, 3), N above 0")
        labels, last = self.labels, len(self.classes) - 1
        if labels.dtype != torch.int64 or tuple(labels.shape) != shape[:1]:
            kind = str(labels.dtype).removeprefix("torch.")
            raise ValueError(
                f"{name}: labels are {kind} {tuple(labels.shape)}, must be int64 ({shape[0]},)"
            )
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high > last:
            raise ValueError(f"{name}: labels are in {low}..{high}, must be in 0..{last}")

    def slice(self, start: int, stop: int) -> "ImageSet":
        """The images `start..stop - 1`, without a copy."""
        return ImageSet(self.images[start:stop], self.labels[start:stop], self.classes)
