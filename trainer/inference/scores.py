"""How good a classifier is: loss, per-class precision and recall, confusion, calibration."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from trainer.training.evaluation import Evaluator

BINS = 15


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model says about a set of images.

    Attributes:
        logits: `(N, classes)` float32, on the CPU.
        labels: `(N,)` int64, on the CPU.
        loss: Mean cross-entropy, added up as the run itself does.
        accuracy: Fraction classified rightly.
    """

    logits: torch.Tensor
    labels: torch.Tensor
    loss: float
    accuracy: float


@torch.no_grad()
def outputs(evaluator: Evaluator, model: nn.Module) -> Outputs:
    """Runs a model, which is in evaluation mode, over a set of images.

    Loss and accuracy are the numbers that the run's own evaluation gives, bit for bit.

    Raises:
        FloatingPointError: If logits or loss are not finite.
    """
    loss, correct = evaluator.zeros()
    logits: list[torch.Tensor] = []
    for images, labels in evaluator.batches():
        batch = evaluator.logits(model, images)
        evaluator.add_logits(batch, labels, loss, correct)
        logits.append(batch.float().cpu())
    count = len(evaluator.labels)
    found = Outputs(
        torch.cat(logits), evaluator.labels.cpu(), float(loss) / count, int(correct) / count
    )
    if not (found.logits.isfinite().all() and math.isfinite(found.loss)):
        way_out = "" if evaluator.precision == "none" else "; amp=none computes in fp32"
        raise FloatingPointError(
            f"what the model answers is not finite (loss {found.loss}) with "
            f"amp={evaluator.precision}{way_out}"
        )
    return found


@dataclass(frozen=True, slots=True)
class Calibration:
    """How confidence, the probability of the predicted class, agrees with accuracy.

    Attributes:
        count: `(bins,)` int64: images whose confidence lies in the bin.
        confidence: `(bins,)` float64: their mean confidence; 0 where there are none.
        accuracy: `(bins,)` float64: the fraction of them classified rightly; likewise.
    """

    count: torch.Tensor
    confidence: torch.Tensor
    accuracy: torch.Tensor

    @property
    def error(self) -> float:
        """Expected calibration error, a fraction.

        Source: Guo et al., On Calibration of Modern Neural Networks, 2017 (arXiv 1706.04599),
        eq. 3.
        """
        share = self.count.double() / self.count.sum()
        return float((share * (self.accuracy - self.confidence).abs()).sum())

    @property
    def mean_confidence(self) -> float:
        """Over all images, a fraction."""
        return float((self.count * self.confidence).sum() / self.count.sum())


def calibration(logits: torch.Tensor, labels: torch.Tensor, bins: int = BINS) -> Calibration:
    """Sorts images into bins of equal width by their confidence; bin m is ((m-1)/M, m/M].

    Args:
        logits: `(N, classes)`.
        labels: `(N,)` int64.
        bins: M.
    """
    confidence, predicted = logits.double().softmax(1).max(1)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    bin_of = torch.bucketize(confidence, edges[1:-1])  # right-closed
    count = torch.bincount(bin_of, minlength=bins)
    some = count.clamp(min=1)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return torch.zeros(bins, dtype=torch.float64).index_add_(0, bin_of, values) / some

    return Calibration(count, mean(confidence), mean((predicted == labels).double()))


@dataclass(frozen=True, slots=True)
class Scores:
    """Everything that is said about a model on a set of images.

    Attributes:
        classes: Class names in label order.
        loss: Mean cross-entropy.
        accuracy: A fraction.
        confusion: `(classes, classes)` int64: images of a class (row) taken for one (column).
        calibration: Confidence against accuracy.
    """

    classes: tuple[str, ...]
    loss: float
    accuracy: float
    confusion: torch.Tensor
    calibration: Calibration

    @property
    def support(self) -> torch.Tensor:
        """`(classes,)` int64: images of each class."""
        return self.confusion.sum(1)

    @property
    def precision(self) -> torch.Tensor:
        """`(classes,)` float64: of those taken for the class, how many are of it; 0 if none are."""
        return self._right / self.confusion.sum(0).clamp(min=1)

    @property
    def recall(self) -> torch.Tensor:
        """`(classes,)` float64: of the class's images, how many are taken for it."""
        return self._right / self.support.clamp(min=1)

    @property
    def f1(self) -> torch.Tensor:
        """`(classes,)` float64: the harmonic mean of both."""
        return 2 * self._right / (self.confusion.sum(0) + self.support).clamp(min=1)

    @property
    def _right(self) -> torch.Tensor:
        return self.confusion.diagonal().double()

    def confused(self, most: int) -> list[tuple[str, str, int, int]]:
        """The most frequent mistakes: class, what it is taken for, how often, of how many."""
        wrong = self.confusion.clone()
        wrong.fill_diagonal_(0)
        count = len(self.classes)
        order = wrong.flatten().argsort(descending=True, stable=True).tolist()[:most]
        found = [(*divmod(place, count), int(wrong.flatten()[place])) for place in order]
        return [
            (self.classes[row], self.classes[column], times, int(self.support[row]))
            for row, column, times in found
            if times
        ]


def score(result: Outputs, classes: tuple[str, ...]) -> Scores:
    """The scores of a model's outputs."""
    count = len(classes)
    predicted = result.logits.argmax(1)
    places = result.labels * count + predicted
    confusion = torch.bincount(places, minlength=count * count).view(count, count)
    bins = calibration(result.logits, result.labels)
    return Scores(classes, result.loss, result.accuracy, confusion, bins)
