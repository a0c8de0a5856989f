"""The pictures of a report: final values, curves, the gap. matplotlib without a display."""

import io
import warnings
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from trainer.cli.plot import DPI
from trainer.report import curves_figure, dots_figure
from trainer.report.analysis import Report
from trainer.report.style import MOST_GROUPS
from trainer.report.words import listed


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure.

    Attributes:
        name: The PNG's name without its ending.
        title: Its heading.
        alt: What it shows, for those who do not see it.
        caption: How to read it.
        figure: As matplotlib draws it.
    """

    name: str
    title: str
    alt: str
    caption: str
    figure: Figure

    def svg(self) -> bytes:
        """The figure as SVG; its letters are outlines, so that every browser shows the same."""
        with matplotlib.rc_context({"svg.hashsalt": self.name}):
            return self._rendered(format="svg", metadata={"Date": None})

    def png(self) -> bytes:
        """The figure as PNG."""
        return self._rendered(format="png", dpi=DPI)

    def _rendered(self, **options: Any) -> bytes:
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a box stands for a letter without one
            self.figure.savefig(buffer, **options)
        return buffer.getvalue()


def pictures(report: Report) -> list[Picture]:
    """Every figure that the runs have the numbers for."""
    result: list[Picture] = []
    if report.ranked:
        result.append(_final(report))
    if any(run.rows for run in report.runs):
        result.append(_curves(report))
    if any(group.gap for group in report.ranked):
        result.append(_gap(report))
    return result


def _final(report: Report) -> Picture:
    texts = [f"{group.label} {report.measure.mean_and_sd(group.final)}" for group in report.ranked]
    several = any(group.seeds > 1 for group in report.ranked)
    spread = " The bar is the mean, the whiskers its 95 % confidence interval." if several else ""
    title = report.number.capitalize()
    return Picture(
        "final",
        title,
        f"{title} of each group, best first: {listed(texts, most=20)}.",
        f"One dot per seed.{spread}{_left_out(len(report.ranked))}",
        dots_figure.draw_final(report),
    )


def _curves(report: Report) -> Picture:
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
        f"Learning rate, train loss and {report.images} {report.measure.name} against the epoch, "
        f"for {listed(labels, most=20)}.",
        f"The learning rate is that of each step, as lr.csv has it.{axis}"
        f"{band if several else ''}{thin if unfinished else ''}{_left_out(len(report.groups))}",
        curves_figure.draw(report),
    )


def _gap(report: Report) -> Picture:
    by, images = report.measure, report.images
    texts = [f"{g.label} {by.difference(g.gap.mean)}" for g in report.ranked if g.gap]
    return Picture(
        "gap",
        f"Train and {images} {by.name}, and the gap",
        f"Train and {images} {by.name} after the last epoch; the gap"
        f"{' in points' if by.higher else ''}: {listed(texts, most=20)}.",
        f"Filled: {images}; open: train; means over seeds. The number is the gap"
        f"{' in percentage points' if by.higher else ''}.{_left_out(len(report.ranked))}",
        dots_figure.draw_gap(report),
    )


def _left_out(groups: int) -> str:
    rest = groups - MOST_GROUPS
    return f" The last {rest} groups are in the tables only." if rest > 0 else ""
