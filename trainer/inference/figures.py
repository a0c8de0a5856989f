"""Pictures of an evaluation: the confusion matrix and the reliability diagram."""

from typing import Any

import numpy
from matplotlib.figure import Figure

from trainer.cli import plot
from trainer.cli.words import percent
from trainer.inference.scores import Scores

MOST_NUMBERS = 20  # classes up to which the cells have room for their numbers
INK, BLUE, SKY, VERMILION = "#1c2430", "#0072B2", "#56B4E9", "#D55E00"


def draw_confusion(scores: Scores, title: str) -> bytes:
    """Images of each class (rows) by what they are taken for (columns), as a PNG file.

    The colour is the share of the row, so that classes of any size compare.

    Args:
        scores: What to draw.
        title: Its heading; the accuracy is added.
    """
    names, confusion = [each.name for each in scores.classes], numpy.array(scores.confusion)
    side = min(max(4.5, 0.62 * len(names) + 1.6), 16)
    figure = Figure(figsize=(side, side - 0.3), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    # A square root, because the diagonal would leave all mistakes equally pale.
    colours = numpy.sqrt(confusion / confusion.sum(1).clip(min=1)[:, None])
    axes.imshow(colours, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(f"{title}: accuracy {percent(scores.accuracy)}", fontsize=11)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if len(names) <= MOST_NUMBERS:
        for row, column in numpy.argwhere(confusion):
            ink = "white" if colours[row, column] > 0.6 else INK
            number = str(confusion[row, column])
            axes.text(column, row, number, ha="center", va="center", color=ink)
    return plot.png(figure)


def draw_reliability(scores: Scores, title: str) -> bytes:
    """Accuracy against confidence, bin by bin, over the share of images in each, as a PNG file.

    Args:
        scores: What to draw.
        title: Its heading; the calibration error is added.

    Source: Guo et al., 2017 (arXiv 1706.04599), figure 1.
    """
    figure = Figure(figsize=(5.4, 6), layout="constrained", facecolor="white")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    count = numpy.array(scores.calibration.count)
    filled = count > 0
    width = 1 / len(count)
    centres = ((numpy.arange(len(count)) + 0.5) * width)[filled]
    accuracy = numpy.array(scores.calibration.accuracy)[filled]
    confidence = numpy.array(scores.calibration.confidence)[filled]
    above.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (5, 3)))
    above.bar(centres, accuracy, width * 0.94, color=BLUE, label="accuracy")
    gap = confidence - accuracy
    # Opaque, and a colour for each way: a mixture with the bar would be in no legend.
    for colour, where, part in ((VERMILION, "above", gap > 0), (SKY, "below", gap < 0)):
        if part.any():
            options: dict[str, Any] = {"color": colour, "label": f"confidence {where} it"}
            above.bar(centres[part], gap[part], width * 0.94, bottom=accuracy[part], **options)
    above.set(ylabel="accuracy", ylim=(0, 1))
    above.set_title(f"{title}: calibration error {percent(scores.calibration_error)}", fontsize=11)
    above.legend(loc="upper left", framealpha=1, edgecolor="white")
    below.bar(centres, count[filled] / count.sum(), width * 0.94, color=BLUE)
    below.set(xlabel="confidence", ylabel="share of images", xlim=(0, 1))
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    return plot.png(figure)
