"""The scores of a classifier against scikit-learn's, and the metrics that the run itself has."""

import io
import math

import numpy
import pytest
import torch
from PIL import Image
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss
from sklearn.metrics import precision_recall_fscore_support as by_class

from trainer.inference.figures import draw_reliability
from trainer.inference.scores import BINS, Scores, score
from trainer.inference.trained import Outputs

NAMES = ("ant", "bee", "cat", "dog")


def drawn(seed: int, count: int = 400, *, never: int | None = None) -> Outputs:
    """Logits that are right more often than not; class `never` is not predicted."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (count,), generator=generator)
    logits = 2 * torch.randn(count, 4, generator=generator)
    logits[torch.arange(count), labels] += 1.5
    if never is not None:
        logits[:, never] = -9
    return answered(logits, labels)


def answered(logits: torch.Tensor, labels: torch.Tensor) -> Outputs:
    """Logits of a model as what it answers."""
    loss = float(torch.nn.functional.cross_entropy(logits, labels))
    accuracy = float((logits.argmax(1) == labels).double().mean())
    return Outputs(logits, labels, loss, accuracy, "here")


@pytest.mark.parametrize(("seed", "never"), [(0, None), (1, None), (2, 3)])
def test_every_score_equals_scikit_learns(seed: int, never: int | None) -> None:
    found = drawn(seed, never=never)
    scores = score(found, NAMES)
    labels, predicted = found.labels.numpy(), found.logits.argmax(1).numpy()
    theirs = by_class(labels, predicted, zero_division=0.0)
    for name, other in zip(("precision", "recall", "f1", "images"), theirs, strict=True):
        ours = [getattr(each, name) for each in scores.classes]
        assert ours == pytest.approx(other.tolist(), abs=1e-15)
        if name != "images":
            assert scores.macro[name] == pytest.approx(other.mean())
    assert [each.name for each in scores.classes] == list(NAMES)
    assert scores.confusion == confusion_matrix(labels, predicted).tolist()
    assert scores.accuracy == accuracy_score(labels, predicted)
    probabilities = found.logits.double().softmax(1).numpy()
    assert scores.loss == pytest.approx(log_loss(labels, probabilities), rel=1e-5)
    assert (never is None) == all(each.precision for each in scores.classes)


@pytest.mark.parametrize("seed", range(3))
def test_the_calibration_equals_scikit_learns_curve(seed: int) -> None:
    found = drawn(seed)
    scores = score(found, NAMES)
    ours, filled = scores.calibration, numpy.array(scores.calibration.count) > 0
    probabilities = found.logits.double().softmax(1).numpy()
    confidence, right = probabilities.max(1), probabilities.argmax(1) == found.labels.numpy()
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS, strategy="uniform")
    assert numpy.array(ours.accuracy)[filled].tolist() == pytest.approx(accuracy.tolist())
    assert numpy.array(ours.confidence)[filled].tolist() == pytest.approx(mean.tolist())
    count, _ = numpy.histogram(confidence, numpy.linspace(0, 1, BINS + 1))
    error = (count[filled] / count.sum() * abs(accuracy - mean)).sum()
    assert scores.calibration_error == pytest.approx(error)
    assert scores.mean_confidence == pytest.approx(confidence.mean())
    assert sum(ours.count) == scores.images == len(confidence)


def test_a_model_that_knows_how_often_it_is_right_has_no_calibration_error() -> None:
    labels = torch.tensor([0, 0, 0, 1])  # right three times of four, and says so
    logits = torch.tensor([[math.log(0.75), math.log(0.25)]]).repeat(4, 1)
    modest = score(answered(logits, labels), ("a", "b"))
    assert modest.calibration_error == pytest.approx(0, abs=1e-7)
    certain = score(answered(torch.tensor([[100.0, 0.0]]).repeat(4, 1), labels), ("a", "b"))
    assert certain.calibration_error == pytest.approx(0.25)
    assert certain.calibration.count[-1] == 4


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_it() -> None:
    logits = torch.zeros(1, 2)  # exactly one half
    scores = score(answered(logits, torch.tensor([0])), ("a", "b"), bins=2)
    assert scores.calibration.count == [1, 0]


def test_the_most_frequent_mistakes_come_first() -> None:
    confusion = [[5, 2, 0], [4, 6, 0], [0, 0, 3]]  # true, predicted
    pairs = [(i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) for _ in range(n)]
    labels, predicted = torch.tensor(pairs).T
    scores: Scores = score(answered(torch.eye(3)[predicted], labels), ("a", "b", "c"))
    assert scores.confusion == confusion
    assert scores.confused(5) == [("b", "a", 4, 10), ("a", "b", 2, 7)]
    assert scores.confused(1) == [("b", "a", 4, 10)]


def test_the_legend_of_the_reliability_diagram_has_the_colours_of_its_bars() -> None:
    drawn_bars = {"#0072b2", "#56b4e9", "#d55e00"}  # accuracy, confidence below it, above it
    scores = score(drawn(0), NAMES)
    content = draw_reliability(scores, "a run")
    with Image.open(io.BytesIO(content)) as image:
        pixels = image.convert("RGB")
    colours = {
        f"#{r:02x}{g:02x}{b:02x}"
        for count, (r, g, b) in pixels.getcolors(1 << 24)  # type: ignore[union-attr]
        if count > 1500 and max(r, g, b) - min(r, g, b) > 20
    }
    assert colours == drawn_bars
    legend = pixels.crop((70, 30, 120, 110))
    inside = {f"#{r:02x}{g:02x}{b:02x}" for _, (r, g, b) in legend.getcolors(1 << 24)}  # type: ignore[union-attr]
    assert drawn_bars <= inside
