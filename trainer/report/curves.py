"""The lines of the curves figure: LR, losses and accuracy of every group."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from trainer.report.analysis import Report
from trainer.report.groups import Group
from trainer.report.runs import Curve, Row, Run

SHORT = 10  # epochs: of shorter runs everything is shown
LOW = 0.2  # accuracy below which there is nothing to leave out


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        group: Number of its group among those shown, from 0.
        panel: Number of its panel, from 0.
        epochs: Completed epochs at each point.
        steps: Completed steps.
        seconds: Time spent until then; fewer, or none, where it is not known.
        values: What it shows, on the panel's scale.
        low: Lowest value of any seed; empty for one seed.
        high: Highest value of any seed; empty for one seed.
        finished: Whether its runs came to their end.
        held: Whether a value holds until the next one, as an LR does.
    """

    group: int
    panel: int
    epochs: list[float]
    steps: list[float]
    seconds: list[float]
    values: list[float]
    low: list[float]
    high: list[float]
    finished: bool
    held: bool = False


def panels(report: Report) -> dict[str, str]:
    """What is shown from top to bottom: metric without its split, and the panel's title."""
    images, by = report.images, report.measure
    titles = {"lr": "learning rate", "train/loss": "train loss", "loss": f"{images} loss"}
    return titles | ({"accuracy": f"{images} {by.axis}"} if by.higher else {})


def lines(report: Report) -> list[Line]:
    """Every line of the groups that are shown."""
    made: list[Line] = []
    for number, group in enumerate(report.shown):
        made += _lr_lines(group, number)
        for panel, metric in enumerate(list(panels(report))[1:], 1):
            key = metric if "/" in metric else f"{group.split}/{metric}"
            scale = report.measure.scale if metric == "accuracy" else 1.0
            made += _metric_lines(group, number, panel, key, scale)
    return made


def _lr_lines(group: Group, number: int) -> Iterator[Line]:
    """Each different curve of the group's runs: a plateau's depends on the seed."""
    curves: list[tuple[Curve, Run]] = []
    for run in group.finished or group.runs:
        if run.lr is not None and all(run.lr != other for other, _ in curves):
            curves.append((run.lr, run))
    for (starts, lrs), run in curves:
        steps = [float(step) for step in [*starts, starts[-1] + 1]]
        per_epoch = run.updates / run.epochs if run.epochs else 1.0
        epochs = [step / per_epoch for step in steps]
        seconds: list[float] = []
        if run.rows and all("elapsed" in row for row in run.rows):
            known, clock = zip(*((row["step"], row["elapsed"]) for row in run.rows), strict=True)
            seconds = np.interp(steps, [0.0, *known], [0.0, *clock]).tolist()
        values = [*lrs, lrs[-1]]
        yield Line(number, 0, epochs, steps, seconds, values, [], [], run.finished, held=True)


def _metric_lines(group: Group, number: int, panel: int, key: str, scale: float) -> Iterator[Line]:
    """The mean over seeds of the finished runs, and each run that did not finish."""
    tables = {id(run): {row["epoch"]: row for row in run.rows if key in row} for run in group.runs}

    def mean(epochs: Iterable[float], key: str) -> list[float]:
        found = [_over_seeds(group, tables, epoch, key) for epoch in epochs]
        return [fmean(values) for values in found if values]

    values = {
        epoch: [scale * value for value in found]
        for epoch in sorted({epoch for table in tables.values() for epoch in table})
        if (found := _over_seeds(group, tables, epoch, key))
    }
    seeds = max(map(len, values.values()), default=0)
    # Where some seeds are missing a mean would jump.
    values = {epoch: found for epoch, found in values.items() if len(found) == seeds}
    if values:
        spread = values.values() if seeds > 1 else []
        low, high = [min(found) for found in spread], [max(found) for found in spread]
        steps, seconds = mean(values, "step"), mean(values, "elapsed")
        middle = [fmean(found) for found in values.values()]
        yield Line(number, panel, list(values), steps, seconds, middle, low, high, True)
    for run in group.runs:
        rows = [] if run.finished else list(tables[id(run)].values())
        if rows:
            epochs, steps = [row["epoch"] for row in rows], [row["step"] for row in rows]
            seconds = [row["elapsed"] for row in rows if "elapsed" in row]
            shown = [scale * row[key] for row in rows]
            yield Line(number, panel, epochs, steps, seconds, shown, [], [], False)


def _over_seeds(
    group: Group, tables: Mapping[int, Mapping[float, Row]], epoch: float, key: str
) -> list[float]:
    """A number of the finished runs after an epoch, one for each seed."""
    return list(group.by_seed(lambda run: tables[id(run)].get(epoch, {}).get(key)).values())


def lowest_shown(report: Report) -> float | None:
    """Where the accuracy axis of longer runs starts; None: wherever the lowest value is.

    The first fifth of a run climbs over most of the axis, and leaves nothing of it for the end,
    which is what one wants to compare.
    """
    if not report.measure.higher:
        return None
    runs = [run for group in report.shown for run in group.runs if run.evaluated]
    longest = max((run.epochs for run in runs), default=0)
    late = [row[run.metric] for run in runs for row in run.evaluated if row["epoch"] >= longest / 5]
    if longest < SHORT or not late or min(late) < LOW:
        return None
    return math.floor(20 * min(late)) / 20
