"""The pictures of a report; matplotlib without a display."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from trainer.cli.plot import DPI
from trainer.report import curves_figure, dots_figure
from trainer.report.analysis import Report
from trainer.report.sentences import measure
from trainer.report.style import MOST_GROUPS
from trainer.report.wording import listed

Draw = Callable[[bool], Figure]


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure, in two widths.

    Attributes:
        name: The PNG's name without its ending.
        title: Its heading.
        alt: What it shows, for those who do not see it.
        caption: How to read it.
        draw: Gives the figure; True: for a narrow screen.
    """

    name: str
    title: str
    alt: str
    caption: str
    draw: Draw

    def svg(self, *, narrow: bool) -> bytes:
        """The figure as SVG; its letters are outlines, so that every browser shows the same."""
        with matplotlib.rc_context({"svg.hashsalt": self.name}):
            return _rendered(self.draw(narrow), format="svg", metadata={"Date": None})

    def png(self) -> bytes:
        """The wide figure as PNG."""
        return _rendered(self.draw(False), format="png", dpi=DPI)


def _rendered(figure: Figure, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a box stands for a letter without one
        figure.savefig(buffer, **options)
    return buffer.getvalue()


def pictures(report: Report) -> list[Picture]:
    """Every figure that the runs have the numbers for."""
    result: list[Picture] = []
    if report.ranked:
        result.append(_final(report))
    if any(run.rows for run in report.runs):
        result.append(_curves(report))
    if any(group.estimate(lambda run: run.gap) for group in report.ranked):
        result.append(_gap(report))
    return result


def _final(report: Report) -> Picture:
    texts = [f"{group.label} {report.measure.mean_and_sd(group.final)}" for group in report.ranked]
    several = any(group.seeds > 1 for group in report.ranked)
    spread = " The bar is the mean, the whiskers its 95 % confidence interval." if several else ""
    return Picture(
        "final",
        measure(report).capitalize(),
        f"{measure(report).capitalize()} of each group, best first: {listed(texts, most=20)}.",
        f"One dot per seed.{spread}{_left_out(len(report.ranked))}",
        lambda narrow: dots_figure.draw_final(report, narrow=narrow),
    )


def _curves(report: Report) -> Picture:
    split = "validation" if report.split == "val" else "test"
    labels = [group.label for group in report.groups]
    several = any(group.seeds > 1 for group in report.ranked)
    band = " Lines are means over seeds, bands reach from the lowest to the highest seed."
    unfinished = any(run.rows and not run.finished for run in report.runs)
    thin = " Thin lines that end in a circle: runs that did not finish."
    bottom = curves_figure.lowest_shown(report)
    axis = "" if bottom is None else f" The accuracy axis starts at {100 * bottom:.0f} %."
    return Picture(
        "curves",
        "What the learning rate did",
        f"Learning rate, train loss and {split} {report.measure.name} against the epoch, for "
        f"{listed(labels, most=20)}.",
        f"The learning rate is that of each step, as lr.csv has it.{axis}"
        f"{band if several else ''}{thin if unfinished else ''}{_left_out(len(report.groups))}",
        lambda narrow: curves_figure.draw(report, narrow=narrow),
    )


def _gap(report: Report) -> Picture:
    by, split = report.measure, "validation" if report.split == "val" else "test"
    texts: list[str] = []
    for group in report.ranked:
        gap = group.estimate(lambda run: run.gap)
        texts += [f"{group.label} {by.difference(gap.mean)}"] if gap else []
    return Picture(
        "gap",
        f"Train and {split} {by.name}, and the gap",
        f"Train and {split} {by.name} after the last epoch; the gap"
        f"{' in points' if by.higher else ''}: "
        f"{listed(texts, most=20)}.",
        f"Filled: {split}; open: train; means over seeds. The number is the gap"
        f"{' in percentage points' if by.higher else ''}.{_left_out(len(report.ranked))}",
        lambda narrow: dots_figure.draw_gap(report, narrow=narrow),
    )


def _left_out(groups: int) -> str:
    rest = groups - MOST_GROUPS
    return f" The last {rest} groups are in the tables only." if rest > 0 else ""
