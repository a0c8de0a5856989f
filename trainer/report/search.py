"""What a search has found: its trials, and how much each of what it chose mattered."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean

from trainer.report.analysis import Report
from trainer.storage import records

LEVELS = 4  # ranges that a number's values are put into


@dataclass(frozen=True, slots=True)
class Trial:
    """A finished job of a search.

    Attributes:
        number: Its place in the search.
        label: What sets it apart.
        value: The final value.
        lr: Its initial LR; None: it has none.
    """

    number: int
    label: str
    value: float
    lr: float | None


def trials(report: Report) -> list[Trial]:
    """The finished jobs of a search, in order; empty if the runs are none."""
    found: list[Trial] = []
    for group in report.ranked:
        for run in group.finished:
            if run.trial is not None and run.final is not None:
                lr = records.numbers(run.settings).get("optimizer.lr")
                found.append(Trial(run.trial, group.label, run.final, lr))
    return sorted(found, key=lambda trial: trial.number)


def best_so_far(trials: Sequence[Trial], *, higher: bool) -> list[float]:
    """The best value up to each trial."""
    return list(accumulate((trial.value for trial in trials), max if higher else min))


def importances(report: Report) -> dict[str, float]:
    """Share, in [0, 1], of the variance of the trials' ranks that each setting explains.

    A number's values are taken in four ranges with as many trials each, anything else as it is.

    Source: Kelley, An unbiased correlation ratio measure, PNAS 21 (1935), 554-559, on ranks:
        1 - (1 - eta^2) (n - 1) / (n - k) for n trials on k levels; below 0 it counts as 0.
    """
    runs = [run for group in report.ranked for run in group.finished if run.trial is not None]
    finals = [run.final for run in runs if run.final is not None]
    order = sorted(finals)
    ranks = [(bisect_left(order, x) + bisect_right(order, x)) / 2 for x in finals]
    found: dict[str, float] = {}
    for key in dict.fromkeys(s.partition("=")[0] for g in report.groups for s in g.settings):
        if all(key in run.settings for run in runs):
            share = _explained(_levels([run.settings[key] for run in runs]), ranks)
            found |= {} if share is None else {key: share}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _levels(values: Sequence[object]) -> list[str]:
    """A level for each value."""
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    if len(numbers) < len(values) or len(set(numbers)) <= LEVELS:
        return list(map(str, values))
    order = sorted(numbers)
    return [str(bisect_left(order, x) * LEVELS // len(order)) for x in numbers]


def _explained(levels: Sequence[str], ranks: Sequence[float]) -> float | None:
    """None where nothing varies, or too few trials are left to tell."""
    groups: dict[str, list[float]] = defaultdict(list)
    for level, rank in zip(levels, ranks, strict=True):
        groups[level].append(rank)
    n, k = len(ranks), len(groups)
    total = sum((rank - fmean(ranks)) ** 2 for rank in ranks)
    if k < 2 or n <= k or not total:
        return None
    within = sum((rank - fmean(own)) ** 2 for own in groups.values() for rank in own)
    return max(0.0, 1 - within / total * (n - 1) / (n - k))
