"""lr.csv, thinned out for a picture."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from trainer.config.fields import MOST_UPDATES
from trainer.storage.records import is_number

MOST_POINTS = 1000
Curve = tuple[list[int], list[float]]


def read_curve(path: Path) -> Curve | None:
    """Steps and LRs of a run, at most 1000 of them; None if there are none.

    Of each stretch of steps the lowest and the highest LR are kept, so that peaks and edges stay
    where they are. With several parameter groups it is the group with the highest first LR.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            total = sum(1 for _ in file) - 1
        if total < 1:
            return None
        with path.open(encoding="utf-8", errors="replace") as file:
            next(file)
            points = list(_thinned(_points(file), total))
    except (OSError, StopIteration):
        return None
    return ([k for k, _ in points], [lr for _, lr in points]) if points else None


def _points(file: TextIO) -> Iterator[tuple[int, float]]:
    """Each whole line's step and LR."""
    column: int | None = None
    for line in file:
        cells = line.rstrip("\n").split(",")
        try:
            step, lrs = int(cells[0]), [float(cell) for cell in cells[1:]]
        except ValueError:
            continue  # a line that is being written
        if not 0 <= step < MOST_UPDATES or not lrs or not all(map(is_number, lrs)):
            continue
        if column is None:
            column = max(range(len(lrs)), key=lrs.__getitem__)
        if column < len(lrs):
            yield step, lrs[column]


def _thinned(points: Iterator[tuple[int, float]], total: int) -> Iterator[tuple[int, float]]:
    if total <= MOST_POINTS:
        yield from points
        return
    size = -(-total // (MOST_POINTS // 2))
    while bucket := list(itertools.islice(points, size)):
        lowest = min(bucket, key=lambda point: point[1])
        highest = max(bucket, key=lambda point: point[1])
        # Level stretches keep both ends: a line between two points must not look like a slope.
        pair = {lowest, highest} if lowest[1] != highest[1] else {bucket[0], bucket[-1]}
        yield from sorted(pair)
