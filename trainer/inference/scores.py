"""How good a classifier is: loss, per-class precision and recall, confusion, calibration."""

from dataclasses import dataclass

import torch

from trainer.inference.trained import Outputs

BINS = 15


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How a class is told from the others; all but the count are fractions.

    Attributes:
        name: The class.
        precision: Of the images taken for it, how many are of it; 0 if none are.
        recall: Of its images, how many are taken for it; likewise.
        f1: The harmonic mean of both; likewise.
        images: Its images.
    """

    name: str
    precision: float
    recall: float
    f1: float
    images: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """How confidence, the probability of the predicted class, agrees with accuracy, bin by bin.

    Attributes:
        count: Images whose confidence lies in the bin.
        confidence: Their mean confidence; 0 where there are none.
        accuracy: The fraction of them classified rightly; likewise.
    """

    count: list[int]
    confidence: list[float]
    accuracy: list[float]


@dataclass(frozen=True, slots=True)
class Scores:
    """Everything that is said about a model on a set of images, as evaluation.json has it.

    Attributes:
        images: How many there are.
        loss: Mean cross-entropy.
        accuracy: A fraction.
        calibration_error: Expected calibration error, a fraction.
        mean_confidence: Over all images, a fraction.
        macro: Plain mean over the classes of `precision`, `recall` and `f1`.
        classes: In label order.
        confusion: Images of a class (row) taken for one (column).
        calibration: Confidence against accuracy.
    """

    images: int
    loss: float
    accuracy: float
    calibration_error: float
    mean_confidence: float
    macro: dict[str, float]
    classes: list[ClassScores]
    confusion: list[list[int]]
    calibration: Calibration

    def confused(self, most: int) -> list[tuple[str, str, int, int]]:
        """The most frequent mistakes: class, what it is taken for, how often, of how many."""
        wrong = [
            (true.name, other.name, times, true.images)
            for true, row in zip(self.classes, self.confusion, strict=True)
            for other, times in zip(self.classes, row, strict=True)
            if times and other is not true
        ]
        return sorted(wrong, key=lambda mistake: -mistake[2])[:most]


def score(outputs: Outputs, classes: tuple[str, ...], bins: int = BINS) -> Scores:
    """The scores of what a model answers.

    Args:
        outputs: The answers.
        classes: Class names in label order.
        bins: Bins of the calibration, of equal width; bin m of M is ((m-1)/M, m/M].

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017 (arXiv 1706.04599), eq. 3,
    for the calibration error.
    """
    count = len(classes)
    probability, predicted = outputs.logits.double().softmax(1).max(1)
    places = outputs.labels * count + outputs.logits.argmax(1)
    confusion = torch.bincount(places, minlength=count * count).view(count, count)
    right, taken, images = confusion.diagonal().double(), confusion.sum(0), confusion.sum(1)
    shares = {
        "precision": right / taken.clamp(min=1),
        "recall": right / images.clamp(min=1),
        "f1": 2 * right / (taken + images).clamp(min=1),
    }

    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    bin_of = torch.bucketize(probability, edges[1:-1])  # right-closed
    in_bin = torch.bincount(bin_of, minlength=bins)

    def mean(values: torch.Tensor) -> torch.Tensor:
        sums = torch.zeros(bins, dtype=torch.float64).index_add_(0, bin_of, values)
        return sums / in_bin.clamp(min=1)

    confidence, accuracy = mean(probability), mean((predicted == outputs.labels).double())
    share = in_bin.double() / in_bin.sum()
    columns = [classes, *(each.tolist() for each in (*shares.values(), images))]
    return Scores(
        images=len(outputs.labels),
        loss=outputs.loss,
        accuracy=outputs.accuracy,
        calibration_error=float((share * (accuracy - confidence).abs()).sum()),
        mean_confidence=float((in_bin * confidence).sum() / in_bin.sum()),
        macro={name: float(each.mean()) for name, each in shares.items()},
        classes=[ClassScores(*row) for row in zip(*columns, strict=True)],
        confusion=confusion.tolist(),
        calibration=Calibration(in_bin.tolist(), confidence.tolist(), accuracy.tolist()),
    )
