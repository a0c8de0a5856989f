"""What stands beside each figure of a report: its heading, what it shows, how to read it."""

from dataclasses import dataclass

from trainer.report import search
from trainer.report.analysis import Report
from trainer.report.curves import lowest_shown, panels
from trainer.report.words import listed


@dataclass(frozen=True, slots=True)
class Caption:
    """The words of one figure.

    Attributes:
        title: Its heading.
        alt: What it shows, for those who do not see it.
        text: How to read it.
    """

    title: str
    alt: str
    text: str


def captions(report: Report) -> dict[str, Caption]:
    """Every figure that the runs have the numbers for, by its name."""
    made: dict[str, Caption] = {}
    if search.trials(report):
        made["search"] = _search(report)
    if report.leader:
        made["final"] = _final(report)
    if any(run.rows for run in report.runs):
        made["curves"] = _curves(report)
    if any(group.gap for group in report.shown):
        made["gap"] = _gap(report)
    return made


def _search(report: Report) -> Caption:
    return Caption(
        "The search",
        f"{report.number.capitalize()} of each trial, in order and over the learning rate.",
        "A dot is a trial; the line is the best so far. A search picks the best of many: another "
        "seed of the same settings will come out a little worse.",
    )


def _final(report: Report) -> Caption:
    title = report.number.capitalize()
    several = any(report.measure.ends(group.final) for group in report.shown)
    spread = " The bar is the mean, the whiskers its 95 % confidence interval." if several else ""
    alt = f"{title} of each group, best first: the numbers of the next table."
    return Caption(title, alt, f"One dot per seed.{spread}")


def _curves(report: Report) -> Caption:
    several = any(group.seeds > 1 for group in report.shown)
    band = " Lines are means over seeds, bands reach from the lowest to the highest seed."
    unfinished = any(run.rows and not run.finished for run in report.runs)
    thin = " Thin lines: runs that did not finish."
    bottom = lowest_shown(report)
    axis = "" if bottom is None else f" The accuracy axis starts at {100 * bottom:.0f} %."
    shown = listed(list(panels(report).values()))
    return Caption(
        "What the learning rate did",
        f"{shown[0].upper()}{shown[1:]} of each group against the epoch.",
        f"The learning rate is that of each step, as lr.csv has it.{axis}"
        f"{band if several else ''}{thin if unfinished else ''}",
    )


def _gap(report: Report) -> Caption:
    by, images = report.measure, report.images
    title = f"Train and {images} {by.name}, and the gap"
    return Caption(
        title,
        f"{title}, after the last epoch of each group.",
        f"Filled: {images}; open: train; means over seeds. The number is the gap"
        f"{' in percentage points' if by.higher else ''}.",
    )
