"""The scores of a classifier against scikit-learn's, and the metrics that the run itself has."""

import math

import numpy
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss
from sklearn.metrics import precision_recall_fscore_support as by_class

from trainer.data.image_set import ImageSet
from trainer.inference.scores import BINS, Outputs, Scores, calibration, outputs, score
from trainer.training.evaluation import Evaluator

NAMES = ("ant", "bee", "cat", "dog")


def drawn(seed: int, count: int = 400, *, never: int | None = None) -> Outputs:
    """Logits that are right more often than not; class `never` is not predicted."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (count,), generator=generator)
    logits = 2 * torch.randn(count, 4, generator=generator)
    logits[torch.arange(count), labels] += 1.5
    if never is not None:
        logits[:, never] = -9
    loss = float(torch.nn.functional.cross_entropy(logits, labels))
    return Outputs(logits, labels, loss, float((logits.argmax(1) == labels).double().mean()))


@pytest.mark.parametrize(("seed", "never"), [(0, None), (1, None), (2, 3)])
def test_every_score_equals_scikit_learns(seed: int, never: int | None) -> None:
    found = drawn(seed, never=never)
    scores = score(found, NAMES)
    labels, predicted = found.labels.numpy(), found.logits.argmax(1).numpy()
    theirs = by_class(labels, predicted, zero_division=0.0)
    for ours, other in zip(
        (scores.precision, scores.recall, scores.f1, scores.support), theirs, strict=True
    ):
        assert ours.tolist() == pytest.approx(other.tolist(), abs=1e-15)
    assert scores.confusion.tolist() == confusion_matrix(labels, predicted).tolist()
    assert scores.accuracy == accuracy_score(labels, predicted)
    probabilities = found.logits.double().softmax(1).numpy()
    assert scores.loss == pytest.approx(log_loss(labels, probabilities), rel=1e-5)
    assert (never is None) == bool(scores.precision.all())


@pytest.mark.parametrize("seed", range(3))
def test_the_calibration_equals_scikit_learns_curve(seed: int) -> None:
    found = drawn(seed)
    ours = calibration(found.logits, found.labels)
    probabilities = found.logits.double().softmax(1).numpy()
    confidence, right = probabilities.max(1), probabilities.argmax(1) == found.labels.numpy()
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS, strategy="uniform")
    filled = ours.count > 0
    assert ours.accuracy[filled].tolist() == pytest.approx(accuracy.tolist())
    assert ours.confidence[filled].tolist() == pytest.approx(mean.tolist())
    count, _ = numpy.histogram(confidence, numpy.linspace(0, 1, BINS + 1))
    error = (count[filled] / count.sum() * abs(accuracy - mean)).sum()
    assert ours.error == pytest.approx(error)
    assert ours.mean_confidence == pytest.approx(confidence.mean())
    assert int(ours.count.sum()) == len(confidence)


def test_a_model_that_knows_how_often_it_is_right_has_no_calibration_error() -> None:
    labels = torch.tensor([0, 0, 0, 1])  # right three times of four, and says so
    logits = torch.tensor([[math.log(0.75), math.log(0.25)]]).repeat(4, 1)
    assert calibration(logits, labels).error == pytest.approx(0, abs=1e-7)
    certain = calibration(torch.tensor([[100.0, 0.0]]).repeat(4, 1), labels)
    assert certain.error == pytest.approx(0.25)
    assert int(certain.count[-1]) == 4


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_it() -> None:
    logits = torch.zeros(1, 2)  # exactly one half
    bins = calibration(logits, torch.tensor([0]), bins=2)
    assert bins.count.tolist() == [1, 0]


def test_the_most_frequent_mistakes_come_first() -> None:
    confusion = torch.tensor([[5, 2, 0], [4, 6, 0], [0, 0, 3]])
    bins = calibration(torch.zeros(1, 3), torch.tensor([0]))
    scores = Scores(("a", "b", "c"), 0.0, 0.7, confusion, bins)
    assert scores.confused(5) == [("b", "a", 4, 10), ("a", "b", 2, 7)]
    assert scores.confused(1) == [("b", "a", 4, 10)]


def test_answers_that_are_not_finite_are_refused() -> None:
    images = ImageSet(torch.full((4, 1), 1e30), torch.zeros(4, dtype=torch.int64), NAMES)
    model = torch.nn.Linear(1, 4)
    torch.nn.init.constant_(model.weight, 1e30)  # finite itself
    for precision, words in (("none", r"is not finite \(loss nan\) with amp=none$"),
                             ("bf16", "with amp=bf16; amp=none computes in fp32")):  # fmt: skip
        evaluator = Evaluator.on(images, torch.device("cpu"), precision)
        with pytest.raises(FloatingPointError, match=words):
            outputs(evaluator, model.eval())
