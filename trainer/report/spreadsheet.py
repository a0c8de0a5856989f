"""report.csv: a row per run."""

import csv
import io
import re
from collections.abc import Sequence

from trainer.report.analysis import Report
from trainer.report.groups import written
from trainer.report.runs import Run
from trainer.storage.records import plain

PARTED = ("data.name", "model.name")  # what a folder of mixed runs is divided by, the epochs aside
Cell = str | int | float | None
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


def text(reports: Sequence[Report]) -> str:
    """The table: accuracies and the gap are fractions, times seconds; empty where unknown.

    The columns behind those of every report are the settings that differ.
    """
    rows: list[dict[str, Cell]] = []
    for report in reports:
        keys = [s.partition("=")[0] for g in report.groups for s in g.settings if "=" in s]
        differing = [*dict.fromkeys(keys), *(PARTED if report.title else ())]
        for run in report.runs:
            own = {key: written(run.settings[key]) for key in differing if key in run.settings}
            rows.append(own | _row(run, report.label(run), report.target))
    first = _row(reports[0].runs[0], None, None)
    columns = dict.fromkeys([*first, *(key for row in rows for key in row)])
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(columns), lineterminator="\n")
    writer.writerow({key: _inert(key) for key in columns})
    writer.writerows({key: _inert(cell) for key, cell in row.items()} for row in rows)
    return buffer.getvalue()


def _row(run: Run, label: str | None, target: float | None) -> dict[str, Cell]:
    best, by, made = run.best_row, run.measure, run.made_with
    reached = None if target is None else run.reached(target)
    return {
        "folder": plain(run.folder.resolve()),
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
