"""LR, loss and accuracy of every group over one x axis."""

import math
from collections import defaultdict
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from trainer.report.analysis import Report
from trainer.report.groups import Group
from trainer.report.runs import Curve, Run
from trainer.report.style import (
    FAINT,
    INK,
    MOST_GROUPS,
    SIZE,
    Look,
    look,
    new_figure,
    plain_axes,
    short_labels,
)

SHORT = 10  # epochs: of shorter runs everything is shown
LOW = 0.2  # accuracy below which there is nothing to leave out


def draw(report: Report) -> Figure:
    """The stacked figure."""
    groups, by = report.groups[:MOST_GROUPS], report.measure
    figure = new_figure(max(7.6, 0.22 * len(groups) + 1))
    rows = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1, 1.6))
    for number, group in enumerate(groups):
        _draw_lr(rows[0], group, look(number))
        _draw_metric(rows[1], group, "train/loss", 1.0, look(number))
        _draw_metric(rows[2], group, f"{group.split}/{by.name}", by.scale, look(number))
    names = ("learning rate", "train loss", f"{report.images} {by.axis}")
    for axes, name in zip(rows, names, strict=True):
        plain_axes(axes)
        if axes is rows[0] or by.higher:
            axes.ticklabel_format(axis="y", useOffset=False)
        else:  # a loss of values falls over orders of magnitude
            axes.set_yscale("log")
        axes.set_title(name, loc="left", fontsize=SIZE + 0.5, color=INK, fontweight="bold")
    rows[0].set_ylim(bottom=0)
    rows[2].set_xlabel("completed epochs", fontsize=SIZE, color=FAINT)
    rows[2].xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    rows[2].margins(x=0.02)
    rows[2].set_xlim(left=0)
    if (bottom := lowest_shown(report)) is not None:
        rows[2].set_ylim(bottom=100 * bottom)
    _steps_axis(rows[0], report)
    _legend(figure, groups)
    return figure


def _legend(figure: Figure, groups: list[Group]) -> None:
    names = short_labels([group.label for group in groups])
    figure.legend(
        [_handle(look(n), group) for n, group in enumerate(groups)],
        [n if g.finished else f"{n} (unfinished)" for n, g in zip(names, groups, strict=True)],
        loc="outside right upper",
        ncols=1,
        fontsize=SIZE - 0.5,
        frameon=False,
        labelcolor=INK,
        handlelength=2.6,
        borderaxespad=0.2,
    )


def _handle(style: Look, group: Group) -> Line2D:
    return Line2D(
        [], [], color=style.colour, linestyle=style.line, linewidth=2 if group.finished else 1
    )


def _draw_lr(axes: Axes, group: Group, style: Look) -> None:
    """Each different curve of the group's runs: a plateau's depends on the seed."""
    runs = group.finished or group.runs
    curves: list[tuple[Curve, Run]] = []
    for run in runs:
        if run.lr is not None and all(run.lr != other for other, _ in curves):
            curves.append((run.lr, run))
    for (steps, lrs), run in curves:
        per_epoch = steps_per_epoch(run) or 1.0
        axes.plot(
            [k / per_epoch for k in [*steps, steps[-1] + 1]],
            [*lrs, lrs[-1]],
            drawstyle="steps-post",
            color=style.colour,
            linestyle=style.line,
            linewidth=1.8 if run.finished and len(curves) == 1 else 1.0,
        )


def _draw_metric(axes: Axes, group: Group, key: str, scale: float, style: Look) -> None:
    seeds: dict[int | str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in group.finished:
        for row in run.rows:
            if key in row:
                seeds[run.seed][row["epoch"]].append(scale * row[key])
    values: dict[float, list[float]] = defaultdict(list)
    for by_epoch in seeds.values():
        for epoch, found in by_epoch.items():
            values[epoch].append(fmean(found))
    # Where some seeds are missing a mean would jump.
    epochs = sorted(epoch for epoch, found in values.items() if len(found) == len(seeds))
    if epochs:
        alone = "o" if len(epochs) == 1 else ""
        axes.plot(
            epochs,
            [fmean(values[epoch]) for epoch in epochs],
            color=style.colour,
            linestyle=style.line,
            linewidth=1.8,
            marker=alone,
            markersize=4,
        )
        if len(seeds) > 1:
            lows = [min(values[epoch]) for epoch in epochs]
            highs = [max(values[epoch]) for epoch in epochs]
            axes.fill_between(epochs, lows, highs, color=style.colour, alpha=0.16, linewidth=0)
    for run in group.runs:
        rows = [row for row in run.rows if key in row]
        if rows and not run.finished:
            x, y = [row["epoch"] for row in rows], [scale * row[key] for row in rows]
            axes.plot(x, y, color=style.colour, linestyle=style.line, linewidth=1.0)
            axes.plot(x[-1:], y[-1:], "o", color=style.colour, fillstyle="none", markersize=5)


def lowest_shown(report: Report) -> float | None:
    """Where the accuracy axis of longer runs starts; None: wherever the lowest value is.

    The first fifth of a run climbs over most of the axis, and leaves nothing of it for the end,
    which is what one wants to compare.
    """
    if not report.measure.higher:
        return None
    runs = [run for run in report.runs if run.evaluated]
    longest = max((run.epochs for run in runs), default=0)
    late = [row[run.metric] for run in runs for row in run.evaluated if row["epoch"] >= longest / 5]
    if longest < SHORT or not late or min(late) < LOW:
        return None
    return math.floor(20 * min(late)) / 20


def steps_per_epoch(run: Run) -> float | None:
    """Steps in an epoch, as its rows have it."""
    return run.updates / run.epochs if run.epochs else None


def _steps_axis(axes: Axes, report: Report) -> None:
    """Steps along the top, where an epoch has as many in every run."""
    lengths = {steps_per_epoch(run) for run in report.runs if run.rows}
    if len(lengths) != 1 or not (per_epoch := next(iter(lengths))):
        return

    def updates(epochs: Any) -> Any:
        return epochs * per_epoch

    def epochs(steps: Any) -> Any:
        return steps / per_epoch

    top = axes.secondary_xaxis("top", functions=(updates, epochs))
    top.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    top.tick_params(labelsize=SIZE - 1.5, colors=FAINT, length=3)
    top.set_xlabel("updates", fontsize=SIZE - 1, color=FAINT, loc="right")
    top.spines["top"].set_visible(False)
