"""A row per group: final accuracy with every seed, and the gap between train and test."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.report.analysis import Report
from trainer.report.groups import Group
from trainer.report.style import (
    FAINT,
    INK,
    MOST_GROUPS,
    SIZE,
    look,
    new_figure,
    plain_axes,
    short_labels,
)

BELOW = 0.2  # of a row: the interval stands below the dots, which would hide it


def draw_final(report: Report) -> Figure:
    """Dots per seed, mean and 95 % confidence interval."""
    groups, by = report.ranked[:MOST_GROUPS], report.measure
    texts = [by.mean_and_sd(group.final) for group in groups]
    figure, axes = _rows(groups, texts, f"final {report.images} {by.axis}")
    for number, group in enumerate(groups):
        values = [by.scale * value for value in group.by_seed(lambda run: run.final).values()]
        if group.final is not None and group.final.half_width is not None:
            mean, width = by.scale * group.final.mean, by.scale * group.final.half_width
            row = number + BELOW
            axes.errorbar(mean, row, xerr=width, color=INK, linewidth=1.3, capsize=4)
            axes.plot([mean, mean], [row - 0.12, row + 0.12], lw=2, color=INK)
        axes.plot(
            values,
            [number - (BELOW / 2 if len(values) > 1 else 0)] * len(values),
            "o",
            color=look(number).colour,
            markersize=SIZE - 2,
            alpha=0.85,
            markeredgecolor="white",
            markeredgewidth=0.8,
        )
    axes.margins(x=0.08)
    return figure


def draw_gap(report: Report) -> Figure:
    """Evaluated and train value, joined."""
    by = report.measure
    groups = [group for group in report.ranked if group.gap][:MOST_GROUPS]
    texts = [by.difference(group.gap.mean, sign=True) if group.gap else "" for group in groups]
    figure, axes = _rows(groups, texts, by.axis)
    for number, group in enumerate(groups):
        colour, final, train = look(number).colour, group.final, group.train
        if final is None or train is None:
            continue
        low, high = by.scale * final.mean, by.scale * train.mean
        axes.plot([low, high], [number] * 2, color=colour, linewidth=2.2, alpha=0.5)
        axes.plot([low], [number], "o", color=colour, markersize=SIZE - 1)
        (hollow,) = axes.plot([high], [number], "o", color=colour, markersize=SIZE - 1)
        hollow.set(markerfacecolor="white", markeredgewidth=1.8)
    axes.margins(x=0.08)
    return figure


def _rows(groups: list[Group], texts: list[str], name: str) -> tuple[Figure, Axes]:
    """Axes with a row per group, the first on top: its name on the left, a number on the right."""
    figure = new_figure(0.9 + 0.42 * len(groups))
    axes = figure.add_subplot()
    plain_axes(axes)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlabel(name, fontsize=SIZE, color=FAINT)
    labels = short_labels([group.label for group in groups])
    axes.set_yticks(range(len(groups)), labels, fontsize=SIZE, color=INK)
    axes.tick_params(axis="y", length=0)
    across = axes.get_yaxis_transform()
    for number, text in enumerate(texts):
        axes.text(1.02, number, text, transform=across, va="center", fontsize=SIZE, color=INK)
    return figure, axes
