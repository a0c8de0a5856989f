"""A linear relation with noise, drawn from a seed."""

import hashlib

import torch

from trainer.data.image_set import ImageSet

FEATURES = 10  # of an example


def make(
    seed: int, train_examples: int, test_examples: int, noise: float
) -> tuple[ImageSet, ImageSet, str]:
    """Draws the data set.

    Args:
        seed: Any number from 0.
        train_examples: Examples to train on.
        test_examples: Examples to evaluate.
        noise: Standard deviation of what is added to the values.

    Returns:
        Training set, test set, and the SHA-256 of both: features `(N, 10)` normal, values
        `features @ weights + bias + noise`, with normal weights and bias.
    """
    generator = torch.Generator().manual_seed(seed)
    weights, bias = torch.randn(FEATURES, generator=generator), torch.randn(1, generator=generator)

    def draw(examples: int) -> ImageSet:
        features = torch.randn(examples, FEATURES, generator=generator)
        noises = noise * torch.randn(examples, generator=generator)
        return ImageSet(features, features @ weights + bias + noises, ())

    train, test = draw(train_examples), draw(test_examples)
    digest = hashlib.sha256()
    for values in (train.images, train.labels, test.images, test.labels):
        digest.update(values.numpy().tobytes())
    return train, test, digest.hexdigest()
