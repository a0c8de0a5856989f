"""The jobs of a sweep: each is skipped, resumed or run, noted in the ledger, and summed up."""

import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from trainer import console, folders, job_ledger, run_folder, storage
from trainer.attempts import USER_ERRORS, Outcome, attempt, refuse
from trainer.config import Config
from trainer.job_ledger import Job, Ledger


def run_job(
    config: Config, folder: Path, sweep: Path, number: int, command: Sequence[str]
) -> Outcome:
    """One job, whatever happens to it; the sweep goes on.

    Args:
        config: Its configuration, paths absolute.
        folder: Its folder.
        sweep: The sweep's folder.
        number: Its place in the sweep.
        command: The command line, for the record.
    """
    ledger = job_ledger.read(sweep)
    if ledger is None:
        return refuse(FileNotFoundError(f"{sweep / job_ledger.FILE}: has gone"))
    if _finished(ledger.jobs[number], folder):
        console.say(f"{_title(ledger, number)}: done before", sys.stdout)
        return Outcome(0, ledger.jobs[number].value)
    console.say(_head(ledger, number), sys.stdout)
    place = os.path.relpath(folder, sweep)
    job_ledger.update(sweep, number, status="running", folder=place, error=None)
    start = time.perf_counter()
    outcome = _attempt(config, folder, command)
    job_ledger.update(
        sweep,
        number,
        status=outcome.status,
        value=outcome.value,
        error=outcome.error,
        seconds=round(time.perf_counter() - start, 1),
    )
    return outcome


def _attempt(config: Config, folder: Path, command: Sequence[str]) -> Outcome:
    try:
        with folders.locked(folder):
            commit = None
            if folders.belongs_to_a_run(folder):
                from trainer import checkpoint  # torch takes seconds

                commit = checkpoint.find(folder)
            return attempt(config, folder, commit, command)
    except USER_ERRORS as error:
        return refuse(error)
    except (Exception, SystemExit) as error:  # a bug, or a library's: the other jobs go on
        traceback.print_exc()
        return Outcome(1, error=" ".join(f"{type(error).__name__}: {error}".split()))


def _finished(job: Job, folder: Path) -> bool:
    """Whether a job is done, and what it left is whole."""
    if job.status != "done":
        return False
    try:
        newest = max((folder / "checkpoints").glob("step_*.pt"))
        storage.read_sealed(newest)
        return run_folder.status(folder) == "done"
    except (OSError, ValueError):
        return False


def _head(ledger: Ledger, number: int) -> str:
    """Which job it is, how far the sweep is, and the time that is left, by the jobs so far."""
    jobs = ledger.jobs
    ended = [job for job in jobs if job.status in ("done", "failed")]
    took = [job.seconds for job in ended if job.seconds is not None and job.status == "done"]
    width = 20
    filled = width * len(ended) // len(jobs)
    line = f"[{'#' * filled}{'.' * (width - filled)}] {_title(ledger, number)}"
    if took:
        left = sum(took) / len(took) * (len(jobs) - len(ended))
        line += f", about {console.duration(left)} left"
    return line


def _title(ledger: Ledger, number: int) -> str:
    overrides = " ".join(ledger.jobs[number].overrides)
    return f"job {number} of {len(ledger.jobs)}" + (f" ({overrides})" if overrides else "")


def sum_up(sweep: Path) -> int:
    """Prints what a sweep came to; returns its exit code: 1 unless every job is done."""
    ledger = job_ledger.read(sweep)
    if ledger is None:
        return 1
    by_status = {
        status: [job for job in ledger.jobs if job.status == status] for status in job_ledger.STATES
    }
    done = len(by_status["done"])
    console.say(f"sweep: {done} of {len(ledger.jobs)} jobs done; {sweep}", sys.stdout)
    for status, jobs in by_status.items():
        for job in jobs if status != "done" else []:
            reason = f": {job.error}" if job.error else ""
            line = f"  {status}: job {job.number} ({' '.join(job.overrides)}){reason}"
            console.say(line, sys.stdout)
    if done:
        _report(sweep)
    if done < len(ledger.jobs):
        console.say(f"  python -m trainer.sweep retry {sweep}   runs what is not done", sys.stdout)
    return 0 if done == len(ledger.jobs) else 1


def _report(sweep: Path) -> None:
    """Compares what is there; a report that cannot be made fails no sweep."""
    from trainer.report.screen import lines  # matplotlib takes half a second
    from trainer.report.write import report

    try:
        written = report([sweep])
    except (ValueError, OSError) as error:
        console.say(f"warning: no report: {console.one_line(error)}", sys.stderr)
        return
    console.say("\n" + "\n".join(lines(written)), sys.stdout)
