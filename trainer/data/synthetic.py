"""Ten classes of 32x32 colour images drawn from a seed: a data set that needs no download."""

import functools
import hashlib

import torch

from trainer.data import shapes, waves
from trainer.data.image_set import ImageSet

CHUNK = 500  # images drawn at a time: temporaries stay within the processor's cache


@functools.lru_cache(maxsize=1)  # drawing takes longer than a small job of a sweep
def make(
    seed: int, train_images: int, test_images: int, pattern: str = "waves"
) -> tuple[ImageSet, ImageSet, str]:
    """Draws a training and a test set, the same bytes for the same arguments.

    The two sets have separate random streams: the number of training images does not change the
    test images. The global random generators are neither read nor changed.

    Args:
        seed: Any number from 0.
        train_images: Number of training images.
        test_images: Number of test images.
        pattern: `waves` or `shapes`.

    Returns:
        Training set, test set and the SHA-256 over their image and label bytes. The same tensors
        for the same arguments: nobody may write into them.
    """
    train = _draw_set(2 * seed, train_images, pattern)
    test = _draw_set(2 * seed + 1, test_images, pattern)
    digest = hashlib.sha256()
    for tensor in (train.images, train.labels, test.images, test.labels):
        digest.update(tensor.numpy().data)
    return train, test, digest.hexdigest()


def _draw_set(seed: int, count: int, pattern: str) -> ImageSet:
    """`count` images with every class equally often (up to one), in random order."""
    draw, classes = {
        "waves": (waves.draw, tuple(waves.PLACES)),
        "shapes": (shapes.draw, tuple(shapes.SHAPES)),
    }[pattern]
    random = torch.Generator().manual_seed(seed % 2**64)
    labels = (torch.arange(count) % len(classes))[torch.randperm(count, generator=random)]
    images = torch.empty((count, 32, 32, 3), dtype=torch.uint8)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        images[part] = draw(labels[part], random)
    return ImageSet(images, labels, classes)
