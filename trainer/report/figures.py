"""The figures of a report as PNG, for report.md. matplotlib without a display."""

import warnings

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import LineStyleType

from trainer.cli.plot import png
from trainer.report import curves, search
from trainer.report.analysis import Report
from trainer.report.captions import captions
from trainer.report.curves import Line
from trainer.report.groups import Group

# Source: Okabe and Ito, Color universal design, 2008, less its yellow, which white swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[LineStyleType, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
)
INK, FAINT, RULE = "#1c2430", "#5b6675", "#d9dee5"
WIDTH = 10.6  # inches, of every figure
SIZE = 10.0  # points, of its letters
BELOW = 0.2  # of a row: the interval stands below the dots, which would hide it


def draw(report: Report) -> dict[str, Figure]:
    """Every figure that has a caption, by its name."""
    drawers = {"search": _search, "final": _final, "curves": _curves, "gap": _gap}
    return {name: drawers[name](report) for name in captions(report)}


def encoded(figure: Figure) -> bytes:
    """A figure as the content of a PNG file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a box stands for a letter without one
        return png(figure)


def _final(report: Report) -> Figure:
    """Dots per seed, mean and 95 % confidence interval."""
    groups, by = [group for group in report.shown if group.final], report.measure
    texts = [by.mean_and_sd(group.final) for group in groups]
    figure, axes = _rows(groups, texts, f"final {report.images} {by.axis}")
    for number, group in enumerate(groups):
        values = [by.scale * value for value in group.by_seed(lambda run: run.final).values()]
        if group.final is not None and (ends := by.ends(group.final)):
            mean, row = by.scale * group.final.mean, number + BELOW
            around = [[mean - by.scale * ends[0]], [by.scale * ends[1] - mean]]
            axes.errorbar(mean, row, xerr=around, color=INK, linewidth=1.3, capsize=4)
            axes.plot([mean, mean], [row - 0.12, row + 0.12], lw=2, color=INK)
        rows = [number - (BELOW / 2 if len(values) > 1 else 0)] * len(values)
        (dots,) = axes.plot(values, rows, "o", color=_colour(number), markersize=SIZE - 2)
        dots.set(alpha=0.85, markeredgecolor="white", markeredgewidth=0.8)
    return figure


def _gap(report: Report) -> Figure:
    """Evaluated and train value, joined."""
    by = report.measure
    groups = [group for group in report.shown if group.gap]
    texts = [by.difference(group.gap.mean, sign=True) if group.gap else "" for group in groups]
    figure, axes = _rows(groups, texts, by.axis)
    for number, group in enumerate(groups):
        colour, final, train = _colour(number), group.final, group.train
        if final is None or train is None:
            continue
        low, high = by.scale * final.mean, by.scale * train.mean
        axes.plot([low, high], [number] * 2, color=colour, linewidth=2.2, alpha=0.5)
        axes.plot([low], [number], "o", color=colour, markersize=SIZE - 1)
        (hollow,) = axes.plot([high], [number], "o", color=colour, markersize=SIZE - 1)
        hollow.set(markerfacecolor="white", markeredgewidth=1.8)
    return figure


def _rows(groups: list[Group], texts: list[str], name: str) -> tuple[Figure, Axes]:
    """Axes with a row per group, the first on top: its name on the left, a number on the right."""
    figure = _new_figure(0.9 + 0.42 * len(groups))
    axes = figure.add_subplot()
    _plain(axes)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.set_xlabel(name, fontsize=SIZE, color=FAINT)
    axes.set_yticks(range(len(groups)), [_literal(g.label) for g in groups], size=SIZE, color=INK)
    axes.tick_params(axis="y", length=0)
    across = axes.get_yaxis_transform()
    for number, text in enumerate(texts):
        axes.text(1.02, number, text, transform=across, va="center", fontsize=SIZE, color=INK)
    return figure, axes


def _curves(report: Report) -> Figure:
    """LR, losses and accuracy of every group over one x axis."""
    groups, titles = report.shown, curves.panels(report)
    figure = _new_figure(max(2.3 * len(titles), 0.22 * len(groups) + 1))
    axes: list[Axes] = list(
        figure.subplots(len(titles), 1, sharex=True, height_ratios=[1] * (len(titles) - 1) + [1.6])
    )
    for one, (metric, title) in zip(axes, titles.items(), strict=True):
        _plain(one)
        one.set_title(title, loc="left", fontsize=SIZE + 0.5, color=INK, fontweight="bold")
        if metric.endswith("loss") and not report.measure.higher:
            one.set_yscale("log")  # a loss of values falls over orders of magnitude
        else:
            one.ticklabel_format(axis="y", useOffset=False)
    for line in curves.lines(report):
        _draw_line(axes[line.panel], line)
    axes[0].set_ylim(bottom=0)
    axes[-1].set_xlabel("completed epochs", fontsize=SIZE, color=FAINT)
    axes[-1].xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes[-1].margins(x=0.02)
    axes[-1].set_xlim(left=0)
    if (bottom := curves.lowest_shown(report)) is not None:
        axes[-1].set_ylim(bottom=100 * bottom)
    handles = [Line2D([], [], color=_colour(n), ls=_dash(n), lw=2) for n in range(len(groups))]
    labels = [f"{_literal(g.label)}{'' if g.finished else ' (unfinished)'}" for g in groups]
    legend = figure.legend(handles, labels, loc="outside right upper", fontsize=SIZE - 0.5)
    legend.set(frame_on=False)
    return figure


def _draw_line(axes: Axes, line: Line) -> None:
    (drawn,) = axes.plot(line.epochs, line.values, color=_colour(line.group), ls=_dash(line.group))
    drawn.set(linewidth=1.8 if line.finished else 1.0)
    drawn.set_drawstyle("steps-post" if line.held else "default")
    if line.low:
        axes.fill_between(
            line.epochs, line.low, line.high, color=_colour(line.group), alpha=0.16, linewidth=0
        )
    if not line.held and (len(line.epochs) == 1 or not line.finished):
        fill = "full" if line.finished else "none"
        end = (line.epochs[-1:], line.values[-1:])
        axes.plot(*end, "o", color=_colour(line.group), fillstyle=fill, markersize=5)


def _search(report: Report) -> Figure:
    """The value of each trial, in order and over the LR."""
    trials, by = search.trials(report), report.measure
    lrs = [trial for trial in trials if trial.lr is not None]
    figure = _new_figure(3.4)
    left, right = figure.subplots(1, 2, sharey=True)
    left.plot([t.number for t in trials], [by.scale * t.value for t in trials], "o", color=FAINT)
    best = search.best_so_far(trials, higher=by.higher)
    left.step(
        [t.number for t in trials], [by.scale * v for v in best], color=COLOURS[0], where="post"
    )
    right.plot([t.lr or 0 for t in lrs], [by.scale * t.value for t in lrs], "o", color=COLOURS[0])
    right.set_xscale("log")
    for axes, name in ((left, "trial"), (right, "initial learning rate")):
        _plain(axes)
        axes.set_xlabel(name, fontsize=SIZE, color=FAINT)
    left.set_ylabel(f"{report.number.removesuffix(by.name)}{by.axis}", fontsize=SIZE, color=FAINT)
    left.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    return figure


def _colour(number: int) -> str:
    """The n-th group's, from 0: colours first, then dashes."""
    return COLOURS[number % len(COLOURS)]


def _dash(number: int) -> LineStyleType:
    return DASHES[number // len(COLOURS) % len(DASHES)]


def _literal(label: str) -> str:
    """A label that is not taken for a formula."""
    return label.replace("$", r"\$")


def _new_figure(height: float) -> Figure:
    """An empty figure; its height in inches."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # pyright: ignore
    return figure


def _plain(axes: Axes) -> None:
    """Takes away what is not needed."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.tick_params(labelsize=SIZE - 0.5, colors=FAINT, length=3)
    axes.grid(color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
