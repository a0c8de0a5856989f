"""A row per group: final accuracy with every seed, and the gap between train and test."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.report.analysis import Report
from trainer.report.groups import Group
from trainer.report.style import (
    FAINT,
    INK,
    LONGEST_LABEL,
    MOST_GROUPS,
    look,
    new_figure,
    plain_axes,
    short_labels,
)

BELOW = 0.2  # of a row: the interval stands below the dots, which would hide it


def draw_final(report: Report, *, narrow: bool) -> Figure:
    """Dots per seed, mean and 95 % confidence interval."""
    groups = report.ranked[:MOST_GROUPS]
    by, split = report.measure, "validation" if report.split == "val" else "test"
    texts = [by.mean_and_sd(group.final) for group in groups]
    figure, axes, size = _rows(groups, texts, f"final {split} {by.axis}", narrow=narrow)
    for number, group in enumerate(groups):
        style, final = look(number), group.final
        values = [by.scale * value for value in group.by_seed(lambda run: run.final).values()]
        if final is not None and final.half_width is not None:
            axes.errorbar(
                by.scale * final.mean,
                number + BELOW,
                xerr=by.scale * final.half_width,
                color=INK,
                linewidth=1.3,
                capsize=4,
            )
            axes.plot(
                [by.scale * final.mean] * 2,
                [number + BELOW - 0.12, number + BELOW + 0.12],
                lw=2,
                color=INK,
            )
        axes.plot(
            values,
            [number - (BELOW / 2 if len(values) > 1 else 0)] * len(values),
            "o",
            color=style.colour,
            markersize=size - 2,
            alpha=0.85,
            markeredgecolor="white",
            markeredgewidth=0.8,
        )
    axes.margins(x=0.08)
    return figure


def draw_gap(report: Report, *, narrow: bool) -> Figure:
    """Evaluated and train value, joined."""
    by = report.measure
    groups = [g for g in report.ranked if g.estimate(lambda run: run.gap)][:MOST_GROUPS]
    gaps = [group.estimate(lambda run: run.gap) for group in groups]
    texts = [by.difference(gap.mean, sign=True) if gap else "" for gap in gaps]
    figure, axes, size = _rows(groups, texts, by.axis, narrow=narrow)
    for number, group in enumerate(groups):
        style, final, train = look(number), group.final, group.estimate(lambda run: run.train)
        if final is None or train is None:
            continue
        low, high = by.scale * final.mean, by.scale * train.mean
        axes.plot([low, high], [number] * 2, color=style.colour, linewidth=2.2, alpha=0.5)
        axes.plot([low], [number], "o", color=style.colour, markersize=size - 1)
        axes.plot(
            [high],
            [number],
            "o",
            color=style.colour,
            markerfacecolor="white",
            markeredgewidth=1.8,
            markersize=size - 1,
        )
    axes.margins(x=0.08)
    return figure


def _rows(
    groups: list[Group], texts: list[str], name: str, *, narrow: bool
) -> tuple[Figure, Axes, float]:
    """Axes with a row per group, the first on top: its name on the left, a number on the right.

    On a narrow screen both stand above the row.
    """
    size = 9.0 if narrow else 10.0
    height = 0.9 + (0.52 if narrow else 0.42) * len(groups)
    figure = new_figure(4.1 if narrow else 10.6, height, narrow=narrow)
    axes = figure.add_subplot()
    plain_axes(axes, size=size - 0.5)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(groups) - 0.4, -0.75 if narrow else -0.6)
    axes.set_xlabel(name, fontsize=size, color=FAINT)
    across = axes.get_yaxis_transform()
    labels = short_labels([group.label for group in groups], 34 if narrow else LONGEST_LABEL)
    if narrow:
        axes.set_yticks([])
    else:
        axes.set_yticks(range(len(groups)), labels, fontsize=size, color=INK)
        axes.tick_params(axis="y", length=0)
    for number, (label, text) in enumerate(zip(labels, texts, strict=True)):
        x, y = (1.0, number - 0.36) if narrow else (1.02, number)
        right = "right" if narrow else "left"
        axes.text(x, y, text, transform=across, ha=right, va="center", fontsize=size, color=INK)
        if narrow:
            axes.text(
                0.0,
                y,
                label,
                transform=across,
                ha="left",
                va="center",
                fontsize=size,
                color=INK,
            )
    return figure, axes, size
