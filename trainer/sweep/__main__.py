"""`python -m trainer.sweep`: how far a sweep is, and running what failed or is missing."""

from trainer.cli import signals
from trainer.cli.words import percent

if __name__ == "__main__":
    signals.end_at_once()  # until a run takes them over

import os
import shlex
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from trainer.cli import console
from trainer.cli.command import Parser, framed, leave, show
from trainer.storage import files, run_folder
from trainer.sweep import job_ledger

PACKAGE = Path(__file__).resolve().parent.parent
EXAMPLES = """\
examples:
  python -m trainer.sweep status outputs/sweeps/2026-11-21_10-00-00
  python -m trainer.sweep retry outputs/sweeps/2026-11-21_10-00-00"""


@framed
def main(arguments: list[str]) -> int:
    """Prints or runs what was asked for; returns the exit code."""
    parser = Parser(
        "sweep",
        "status|retry FOLDER",
        "Shows a sweep's jobs, or runs those that are not done: a stopped one goes on exactly "
        "where it was.",
        EXAMPLES,
    )
    match parser.read(arguments).flags.words:
        case [("status" | "retry") as command, folder]:
            place = Path(folder)
        case _:
            raise ValueError("name status or retry, and one sweep's folder; --help shows the usage")
    ledger = job_ledger.read(place)
    if ledger is None:
        raise ValueError(f"{place}: is no sweep's folder: it holds no {job_ledger.FILE}")
    if command == "retry":
        _retry(place.resolve(), ledger)
    return show("\n".join(table(place, ledger)))


def _retry(folder: Path, ledger: job_ledger.Ledger) -> NoReturn:
    """Gives the sweep's command again, in this process, where its relative paths begin.

    Raises:
        ValueError: If that place has gone.
    """
    place = f"hydra.sweep.dir={folder}"
    if ledger.cwd is not None and not Path(ledger.cwd).is_dir():
        raise ValueError(
            f"{folder / job_ledger.FILE}: was begun in {ledger.cwd}, which is no folder here; "
            "where its relative paths hold, give its command again: python -m trainer -m "
            f"{shlex.join([*ledger.arguments, place])}"
        )
    paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    os.chdir(ledger.cwd or ".")
    command = [sys.executable, "-m", "trainer", "-m", *ledger.arguments, place]
    os.execve(sys.executable, command, environment)


def table(folder: Path, ledger: job_ledger.Ledger) -> list[str]:
    """A line per job: number, state, epoch, accuracy or loss, time, overrides."""
    rows = [("job", "state", "epoch", "result", "time", "overrides")]
    for job in ledger.jobs:
        place = folder / (job.folder or str(job.number))
        state = job.status
        if state == "running" and job.host not in (None, socket.gethostname()):
            state = f"running on {job.host}"  # its lock cannot be asked from here
        elif state == "running" and not files.in_use(place):
            state = "interrupted"
        row = run_folder.last_row(place)
        seconds = run_folder.seconds(place)
        rows.append(
            (
                str(job.number),
                state,
                f"{row['epoch']:.0f}" if row else "-",
                _result(row),
                console.duration(seconds) if seconds is not None else "-",
                " ".join(job.overrides) + (f"  ({job.error})" if job.error else ""),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[5]])
        for row in rows
    ]


def _result(row: Mapping[str, float]) -> str:
    """The last accuracy; the loss of what has none."""
    for split in ("val", "test"):
        if (accuracy := row.get(f"{split}/accuracy")) is not None:
            return percent(accuracy)
        if (loss := row.get(f"{split}/loss")) is not None:
            return f"loss {loss:.4g}"
    return "-"


if __name__ == "__main__":
    leave(main())
