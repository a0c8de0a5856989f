"""The jobs of a sweep: each is skipped, resumed or run, noted in the ledger, and summed up."""

import gc
import os
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from trainer.cli import console
from trainer.cli.command import EXPLAINED
from trainer.config.fields import Config
from trainer.storage import files, run_folder
from trainer.sweep import job_ledger
from trainer.sweep.job_ledger import Job, Ledger
from trainer.training.attempt import Outcome, attempt, failed


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
    if (before := ended_before(sweep, number, folder)) is not None:
        return before
    with job_ledger.changing(sweep) as ledger:
        if ledger.stop is not None:
            return Outcome(128 + ledger.stop)
        console.say(head(ledger, number), sys.stdout)
        job = ledger.jobs[number]
        job.status, job.error, job.folder = "running", None, os.path.relpath(folder, sweep)
        job.pid, job.host = os.getpid(), socket.gethostname()
        readable = ",".join(job.overrides)
    start = time.perf_counter()
    outcome = _attempt(config, folder, command, readable)
    _release()
    job_ledger.update(
        sweep,
        number,
        status=outcome.status,
        value=outcome.value,
        error=outcome.error,
        seconds=round(time.perf_counter() - start, 1),
        pid=None,
        host=None,
    )
    return outcome


def ended_before(sweep: Path, number: int, folder: Path) -> Outcome | None:
    """What a job came to if it needs no process: it is done and whole, or the sweep is stopped."""
    ledger = job_ledger.read(sweep)
    if ledger is None:
        return failed(FileNotFoundError(f"{sweep / job_ledger.FILE}: has gone"))
    job = ledger.jobs[number]
    if _finished(job, folder):
        console.say(f"{title(ledger, number)}: done before", sys.stdout)
        return Outcome(0, job.value)
    return None if ledger.stop is None else Outcome(128 + ledger.stop)


def _attempt(config: Config, folder: Path, command: Sequence[str], readable: str) -> Outcome:
    try:
        with files.locked(folder):
            resumed = None
            if run_folder.belongs_to_a_run(folder):
                from trainer.storage import checkpoint  # torch takes seconds

                resumed = checkpoint.find(folder)
            elif readable:
                run_folder.name_events(folder, readable)
            return attempt(config, folder, resumed, command)
    except EXPLAINED as error:
        return failed(error)
    except (Exception, SystemExit) as error:  # a bug, or a library's: the other jobs go on
        traceback.print_exc()
        return Outcome(1, error=" ".join(f"{type(error).__name__}: {error}".split()))


def _release() -> None:
    """Frees what a job has left: the frames of an error hold its whole run, in a cycle."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _finished(job: Job, folder: Path) -> bool:
    """Whether a job is done, and what it left is whole."""
    if job.status != "done":
        return False
    try:
        files.read_sealed(run_folder.checkpoints(folder)[0])
        return run_folder.status(folder) == "done"
    except (OSError, ValueError, IndexError):
        return False


def head(ledger: Ledger, number: int) -> str:
    """Which job it is, how far the sweep is, and the time that is left, by the jobs so far."""
    jobs = ledger.jobs
    ended = [job for job in jobs if job.status in ("done", "failed")]
    took = [job.seconds for job in ended if job.seconds is not None and job.status == "done"]
    width = 20
    filled = width * len(ended) // ledger.total
    line = f"[{'#' * filled}{'.' * (width - filled)}] {title(ledger, number)}"
    if took:
        left = sum(took) / len(took) * (ledger.total - len(ended))
        at_once = max(1, sum(job.status == "running" for job in jobs))
        line += f", about {console.duration(left / at_once)} left"
    return line


def title(ledger: Ledger, number: int) -> str:
    """Which job it is, and what sets it apart."""
    overrides = " ".join(ledger.jobs[number].overrides)
    return f"job {number} of {ledger.total}" + (f" ({overrides})" if overrides else "")


def sum_up(sweep: Path) -> int:
    """Prints what a sweep came to; returns its exit code: 1 unless every job is done."""
    ledger = job_ledger.read(sweep)
    if ledger is None:
        return 1
    by_status = {
        status: [job for job in ledger.jobs if job.status == status] for status in job_ledger.STATES
    }
    done = len(by_status["done"])
    if ledger.direction is not None and (best := ledger.best) is not None:
        console.say(f"best: {title(ledger, best.number)}: {best.value:g}", sys.stdout)
    console.say(f"sweep: {done} of {ledger.total} jobs done; {sweep}", sys.stdout)
    for status, jobs in by_status.items():
        for job in jobs if status != "done" else []:
            reason = f": {job.error}" if job.error else ""
            line = f"  {status}: job {job.number} ({' '.join(job.overrides)}){reason}"
            console.say(line, sys.stdout)
    if done:
        _report(sweep)
    if done < ledger.total:
        console.say(f"  python -m trainer.sweep retry {sweep}   runs what is not done", sys.stdout)
    return 0 if done == ledger.total else 1


def _report(sweep: Path) -> None:
    """Compares what is there; a report that cannot be made fails no sweep."""
    from trainer.report.write import report  # matplotlib takes half a second

    try:
        written = report([sweep])
    except (ValueError, OSError) as error:
        console.say(f"warning: no report: {console.one_line(error)}", sys.stderr)
        return
    console.say("\n" + "\n".join(written.lines()), sys.stdout)
