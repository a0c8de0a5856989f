"""Whether an exported file computes what the model computes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainer.data.build import load_data
from trainer.data.image_set import ImageSet
from trainer.inference.images import SIDE
from trainer.inference.trained import Trained
from trainer.training.evaluation import Evaluator

TOLERANCE = 1e-4
IMAGES = 100  # shown to each file before it is written
SIZES = (1, 7, IMAGES - 8)  # in batches of so many

Forward = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class Sample:
    """Images that a file is checked with.

    Attributes:
        images: `(100, 3, 32, 32)` uint8.
        logits: `(100, classes)` float32: what the model itself says, as evaluated in fp32.
        words: What they are.
    """

    images: torch.Tensor
    logits: torch.Tensor
    words: str


@torch.no_grad()
def sample(trained: Trained) -> Sample:
    """The first test images of the run's data, over and over where they are too few.

    Random ones where the data set is not at hand.
    """
    option = trained.config.data
    if hasattr(option, "download"):
        option.download = False  # pyright: ignore[reportAttributeAccessIssue]
    try:
        first = load_data(option).test.images[:IMAGES]
        images = first.repeat(-(-IMAGES // len(first)), 1, 1, 1)[:IMAGES]
        words = f"{len(first)} test images of {option.name}"
    except FileNotFoundError:
        generator = torch.Generator().manual_seed(0)
        size = (IMAGES, SIDE, SIDE, 3)
        images = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        words = f"{IMAGES} random images ({option.name} is not here)"
    labels = torch.zeros(len(images), dtype=torch.int64)
    known = ImageSet(images, labels, trained.classes)
    flip = trained.config.test_time_flip
    evaluator = Evaluator.on(known, torch.device("cpu"), "none", flip=flip)
    logits = evaluator.logits(trained.model, images)
    return Sample(images.permute(0, 3, 1, 2).contiguous(), logits, words)


@torch.no_grad()
def largest_difference(forward: Forward, given: Sample) -> float:
    """How far a file is from the model, in logits and probabilities, in batches of 1, 7 and 92.

    Raises:
        ValueError: If it is more than 1e-4, or not a number.
    """
    apart: list[torch.Tensor] = []
    for images, logits in zip(given.images.split(SIZES), given.logits.split(SIZES), strict=True):
        ours = (logits, logits.softmax(1))
        for got, expected in zip(forward(images), ours, strict=True):
            apart.append((got - expected).abs().max())
    worst = float(torch.stack(apart).max())
    if not worst <= TOLERANCE:
        raise ValueError(
            f"the exported model differs by {worst:.2g} from the trained one, more than "
            f"{TOLERANCE:g}; nothing was written"
        )
    return worst
