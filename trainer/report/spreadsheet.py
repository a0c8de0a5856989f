"""report.csv: a row per run."""

import csv
import io
import re

from trainer.report.analysis import Report
from trainer.report.runs import Run
from trainer.report.settings import written
from trainer.storage.records import plain

# fmt: off
COLUMNS = [  # {}: what the runs are compared by
    "folder", "status", "group", "name", "seed", "epochs", "updates", "split", "final_{}",
    "best_{}", "best_epoch", "train_{}", "gap", "test_last_{}", "test_best_{}", "target",
    "updates_to_target", "seconds_to_target", "seconds", "device", "precision", "torch",
    "data_sha256", "commit", "error",
]
# fmt: on
Cell = str | int | float | None
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


def text(report: Report) -> str:
    """The table: accuracies and the gap are fractions, times seconds; empty where unknown.

    The columns behind those of every report are the settings that differ.
    """
    labels = {id(run): group.label for group in report.groups for run in group.runs}
    differing = dict.fromkeys(
        setting.partition("=")[0]
        for group in report.groups
        for setting in group.settings
        if "=" in setting
    )
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = [column.format(report.measure.name) for column in COLUMNS]
    writer.writerow([*columns, *map(_inert, differing)])
    for run in report.runs:
        cells = _cells(run, labels.get(id(run)), report.target)
        own = [written(run.settings[key]) if key in run.settings else None for key in differing]
        writer.writerow([_inert(cell) for cell in [*cells, *own]])
    return buffer.getvalue()


def _cells(run: Run, label: str | None, target: float | None) -> list[Cell]:
    best = run.best_row
    reached = None if target is None else run.reached(target)
    made = run.made_with
    return [
        plain(run.folder),
        run.status,
        label,
        run.name,
        run.seed if isinstance(run.seed, int) else None,
        run.epochs,
        run.updates,
        run.split,
        run.final,
        run.best,
        None if best is None else int(best["epoch"]),
        run.train,
        run.gap,
        run.test_last,
        run.test_best,
        target,
        None if reached is None else reached[0],
        None if reached is None else reached[1],
        run.seconds,
        made.get("device"),
        made.get("precision"),
        made.get("torch"),
        made.get("data"),
        made.get("commit"),
        run.error,
    ]


def _inert(cell: Cell) -> Cell:
    """A text that a spreadsheet does not take for a formula; a number stays one."""
    if not isinstance(cell, str) or cell[:1] not in ("=", "+", "-", "@") or NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"
