"""Mixup: each image of a batch blended with another one of it, and so are their labels' losses."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Mixed:
    """The labels of a batch of blended images.

    Attributes:
        labels: `(n,)`: of the images themselves.
        others: `(n,)`: of the images blended into them.
        weight: `()` float32 in [0, 1]: the share of the images themselves, the same in a batch.

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018 (arXiv 1710.09412), eq. 2,
    with one weight per batch, as in the authors' code.
    """

    labels: torch.Tensor
    others: torch.Tensor
    weight: torch.Tensor

    def __len__(self) -> int:
        """Images in the batch."""
        return len(self.labels)

    def split(self, size: int) -> Iterator["Mixed"]:
        """Parts of `size` images, the last one smaller if it must be."""
        parts = zip(self.labels.split(size), self.others.split(size), strict=True)
        return (Mixed(labels, others, self.weight) for labels, others in parts)

    def blend(self, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """`weight * own + (1 - weight) * other`."""
        return blend(own, other, self.weight)


Targets = torch.Tensor | Mixed
"""What a batch is to be answered with: labels or values `(n,)`, or the labels of blended images."""


def blend(own: torch.Tensor, other: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`weight * own + (1 - weight) * other`: of images, or of what is computed of their labels."""
    return weight * own + (1 - weight) * other
