"""What a trained model takes image files for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainer.cli.words import percent
from trainer.data.image_set import ImageSet
from trainer.inference.images import Picture, printable
from trainer.inference.scores import outputs
from trainer.inference.trained import Trained
from trainer.training.evaluation import Evaluator

SHOWN = 3  # classes of an image, where nobody says how many


@dataclass(frozen=True, slots=True)
class Prediction:
    """The most probable classes of an image.

    Attributes:
        picture: The image.
        classes: Name and probability, most probable first.
    """

    picture: Picture
    classes: tuple[tuple[str, float], ...]

    def values(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "file": str(self.picture.path),
            "size": list(self.picture.size),
            "predictions": [{"class": name, "probability": p} for name, p in self.classes],
        }


def predict(trained: Trained, pictures: Sequence[Picture], top: int) -> list[Prediction]:
    """The `top` most probable classes of each image."""
    images = torch.stack([picture.pixels for picture in pictures])
    labels = torch.zeros(len(pictures), dtype=torch.int64)  # nobody knows them, and none is read
    device, precision = trained.on_device()
    known, flip = ImageSet(images, labels, trained.classes), trained.config.test_time_flip
    evaluator = Evaluator.on(known, device, precision, flip=flip)
    probabilities = outputs(evaluator, trained.model).logits.double().softmax(1)
    values, places = probabilities.topk(top)
    return [
        Prediction(
            picture,
            tuple((trained.classes[n], p) for n, p in zip(where, some, strict=True)),
        )
        for picture, where, some in zip(pictures, places.tolist(), values.tolist(), strict=True)
    ]


def lines(predictions: Sequence[Prediction]) -> list[str]:
    """One line per image, whatever its name holds."""
    names = [printable(prediction.picture.path) for prediction in predictions]
    width = min(max(map(len, names)), 60)
    return [
        f"{name:<{width}}  "
        + "  ".join(
            f"{label} {percent(probability, 1)}" for label, probability in prediction.classes
        )
        for name, prediction in zip(names, predictions, strict=True)
    ]


def checked_top(top: int | None, classes: Sequence[str]) -> int:
    """How many classes are shown of each image; None: three, as far as there are so many.

    Raises:
        ValueError: If there are fewer than were asked for.
    """
    if top is None:
        return min(SHOWN, len(classes))
    if not 1 <= top <= len(classes):
        raise ValueError(f"--top {top}: must be in 1..{len(classes)}")
    return top


def unreadable(paths: Sequence[Path], errors: Sequence[Exception]) -> str:
    """Why nothing was predicted, beside the lines about each file."""
    return f"{len(errors)} of {len(paths)} image files cannot be read; nothing was predicted"
