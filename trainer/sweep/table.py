"""The jobs of a sweep as `status` shows them: read from their folders alone."""

from collections.abc import Mapping
from pathlib import Path

from trainer.cli import console
from trainer.cli.words import percent
from trainer.storage import run_folder
from trainer.sweep.jobs import Job, state
from trainer.sweep.search_options import GROUP
from trainer.sweep.sweep_file import Plan

HEAD = ("job", "state", "epoch", "result", "time", "overrides")


def table(folder: Path, plan: Plan) -> list[str]:
    """A line per job: number, state, epoch, accuracy or loss, time, overrides.

    Raises:
        ValueError: If the journal of a search cannot be read.
    """
    jobs = plan.jobs
    if plan.direction is not None:
        from trainer.sweep.search import found_jobs  # Optuna takes a second

        keys = [key for key in jobs[0].settings if key.startswith(f"{GROUP}.")]
        jobs = found_jobs(folder, plan.direction, len(keys))
    return aligned([HEAD, *(_row(folder / job.folder, job) for job in jobs)])


def _row(place: Path, job: Job) -> tuple[str, ...]:
    found = state(place)
    row, seconds = run_folder.last_row(place), run_folder.seconds(place)
    return (
        str(job.number),
        found.status,
        f"{row['epoch']:.0f}" if row else "-",
        _result(row),
        console.duration(seconds) if seconds is not None else "-",
        " ".join(job.overrides) + (f"  ({found.error})" if found.error else ""),
    )


def _result(row: Mapping[str, float]) -> str:
    """The last accuracy; the loss of what has none."""
    for split in ("val", "test"):
        if (accuracy := row.get(f"{split}/accuracy")) is not None:
            return percent(accuracy)
        if (loss := row.get(f"{split}/loss")) is not None:
            return f"loss {loss:.4g}"
    return "-"


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines, every column but the last as wide as its longest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    ]
