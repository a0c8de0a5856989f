"""Pictures of an evaluation: the confusion matrix and the reliability diagram."""

from typing import Any

import torch
from matplotlib.figure import Figure

from trainer.inference.scores import Calibration, Scores

MOST_NUMBERS = 20  # classes up to which the cells have room for their numbers
INK, BLUE, RED = "#1c2430", "#0072B2", "#D55E00"


def draw_confusion(scores: Scores, title: str) -> Figure:
    """Images of each class (rows) by what they are taken for (columns).

    The colour is the share of the row, so that classes of any size compare.

    Args:
        scores: What to draw.
        title: Its heading.
    """
    count = len(scores.classes)
    side = min(max(4.5, 0.62 * count + 1.6), 16)
    figure = Figure(figsize=(side, side - 0.3), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    share = scores.confusion / scores.support.clamp(min=1)[:, None]
    # A square root, because the diagonal would leave all mistakes equally pale.
    axes.imshow(share.sqrt().numpy(), cmap="Blues", vmin=0, vmax=1)
    places = range(count)
    axes.set_xticks(places, scores.classes, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, scores.classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=11)
    axes.tick_params(length=0)
    for side_name in ("top", "right", "bottom", "left"):
        axes.spines[side_name].set_visible(False)
    if count <= MOST_NUMBERS:
        for row in places:
            for column in places:
                number = int(scores.confusion[row, column])
                if number:
                    dark = float(share[row, column].sqrt()) > 0.6
                    colour = "white" if dark else INK
                    axes.text(column, row, f"{number}", ha="center", va="center", color=colour)
    return figure


def draw_reliability(calibration: Calibration, title: str) -> Figure:
    """Accuracy against confidence, bin by bin, over the share of images in each bin.

    Args:
        calibration: What to draw.
        title: Its heading.

    Source: Guo et al., 2017 (arXiv 1706.04599), figure 1.
    """
    figure = Figure(figsize=(5.4, 6), layout="constrained", facecolor="white")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    bins = len(calibration.count)
    width = 1 / bins
    filled = calibration.count > 0
    centres = ((torch.arange(bins) + 0.5) * width)[filled].tolist()
    accuracy, confidence = calibration.accuracy[filled], calibration.confidence[filled]
    above.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (5, 3)))
    above.bar(centres, accuracy.tolist(), width * 0.94, color=BLUE, label="accuracy")
    gaps = (confidence - accuracy).tolist()
    options: dict[str, Any] = {"color": RED, "alpha": 0.35, "edgecolor": RED, "label": "gap"}
    above.bar(centres, gaps, width * 0.94, bottom=accuracy.tolist(), **options)
    above.set_ylim(0, 1)
    above.set_ylabel("accuracy")
    above.set_title(title, fontsize=11)
    above.legend(loc="upper left", frameon=False)
    share = (calibration.count / calibration.count.sum())[filled].tolist()
    below.bar(centres, share, width * 0.94, color=BLUE)
    below.set_xlim(0, 1)
    below.set_ylabel("share of images")
    below.set_xlabel("confidence")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    return figure
