"""report.csv: a row per run."""

import csv
import io
import re

from trainer.report.analysis import Report
from trainer.report.groups import written
from trainer.report.runs import Run
from trainer.storage.records import plain

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
    rows: list[dict[str, Cell]] = []
    for run in report.runs:
        row = _row(run, labels.get(id(run)), report.target)
        own = {key: written(run.settings[key]) for key in differing if key in run.settings}
        rows.append(row | {key: own.get(key) for key in differing if key not in row})
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_inert, rows[0]))
    writer.writerows(map(_inert, row.values()) for row in rows)
    return buffer.getvalue()


def _row(run: Run, label: str | None, target: float | None) -> dict[str, Cell]:
    best, by, made = run.best_row, run.measure, run.made_with
    reached = None if target is None else run.reached(target)
    return {
        "folder": plain(run.folder),
        "status": run.status,
        "group": label,
        "name": run.name,
        "seed": run.seed if isinstance(run.seed, int) else None,
        "epochs": run.epochs,
        "updates": run.updates,
        "split": run.split,
        f"final_{by}": run.final,
        f"best_{by}": run.best,
        "best_epoch": None if best is None else int(best["epoch"]),
        f"train_{by}": run.train,
        "gap": run.gap,
        f"test_last_{by}": run.test_last,
        f"test_best_{by}": run.test_best,
        "target": target,
        "updates_to_target": None if reached is None else reached[0],
        "seconds_to_target": None if reached is None else reached[1],
        "seconds": run.seconds,
        "device": made.get("device"),
        "precision": made.get("precision"),
        "torch": made.get("torch"),
        "data_sha256": made.get("data"),
        "commit": made.get("commit"),
        "error": run.error,
    }


def _inert(cell: Cell) -> Cell:
    """A text that a spreadsheet does not take for a formula; a number stays one."""
    if not isinstance(cell, str) or cell[:1] not in ("=", "+", "-", "@") or NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"
