"""The process of a sweep whose jobs run in others: says how they fare, and hands signals on."""

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from trainer.cli import console
from trainer.cli.command import TRACEBACKS
from trainer.sweep import job_ledger, sweep_jobs
from trainer.sweep.job_ledger import Ledger
from trainer.sweep.launchers import LOCAL, JobLaunch
from trainer.sweep.same_sweep import NotStarted
from trainer.sweep.sweep_task import SweepStopped

STOPPING = (signal.SIGINT, signal.SIGTERM)
PAUSE = 0.2  # seconds between two looks


def carry_out_sweep(sweep: Path, launch: JobLaunch, jobs: Callable[[], None]) -> int:
    """Runs the jobs of a sweep, and says what they came to.

    Args:
        sweep: Its folder.
        launch: How the jobs are started.
        jobs: Has Hydra start them all, and wait for them.

    Returns:
        The exit code: 0 if every job is done, 128 + n for signal n, else 1.

    Raises:
        OSError: If Hydra's record cannot be written.
    """
    stopped: int | None = None
    failed = False
    watch = SweepWatch(sweep) if launch.launcher in LOCAL else contextlib.nullcontext()
    if launch.threads is not None:
        threads = "a thread" if launch.threads == 1 else f"{launch.threads} threads"
        each = f"{threads} each" + (f", on {len(launch.gpus)} GPUs" if launch.gpus else "")
        console.say(f"{launch.launcher}: {launch.at_once} jobs at once, {each}", sys.stdout)
    for part in ("storages", "study"):  # Optuna's own lines: a study that has no name
        logging.getLogger(f"optuna.{part}").setLevel(logging.WARNING)
    with watch as watch_of:
        try:
            jobs()
        except SweepStopped as error:
            stopped = error.code
        except OSError:
            raise
        except (Exception, NotStarted) as error:  # a launcher's or a sweeper's own
            failed = watch_of is None or watch_of.signal is None
            if failed and TRACEBACKS:
                traceback.print_exception(error)
            if failed:
                whose = "" if isinstance(error, NotStarted) else f"{launch.launcher}: "
                console.say(f"trainer: error: {whose}{console.one_line(error)}", sys.stderr)
    if watch_of is not None and watch_of.signal is not None:
        stopped = 128 + watch_of.signal
    code = sweep_jobs.sum_up(sweep)
    return stopped or code or int(failed)


class SweepWatch:
    """Watches a sweep for as long as it is entered.

    SIGINT and SIGTERM are blocked here, which the processes that are started from here inherit: a
    Ctrl-C reaches jobs through this one only, and each of them saves a checkpoint.

    Args:
        sweep: The sweep's folder.

    Attributes:
        signal: The first signal that came.
    """

    def __init__(self, sweep: Path) -> None:
        self.sweep = sweep
        self.signal: int | None = None
        self._received: list[int] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._seen: dict[int, str] = {}
        self._before = [signal.getsignal(number) for number in STOPPING]

    def __enter__(self) -> "SweepWatch":
        """Starts watching."""
        if (ledger := job_ledger.read(self.sweep)) is not None:
            self._seen = {job.number: job.status for job in ledger.jobs}
        for number in STOPPING:  # a library's thread does not block them
            signal.signal(number, self._receive)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Ends it; what happened last has been printed."""
        self._end.set()
        self._thread.join()
        self._look()
        for number, handler in zip(STOPPING, self._before, strict=True):
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._received.append(number)

    def _watch(self) -> None:
        while not self._end.wait(PAUSE):
            for number in signal.sigpending() & set(STOPPING):
                self._received.append(signal.sigwait({number}))
            while self._received:
                self._stop(self._received.pop(0))
            self._look()

    def _stop(self, number: int) -> None:
        """No further job starts; those that run save. A second Ctrl-C does not wait for that."""
        again = self.signal is not None
        self.signal = self.signal or number
        with job_ledger.changing(self.sweep) as ledger:
            ledger.stop = self.signal
            running = _here(ledger)
        name = signal.Signals(number).name
        at_once = again and number == signal.SIGINT
        what = "leave at once" if at_once else "save and stop"
        console.say(f"{name}: the jobs that run ({len(running)}) {what}", sys.stderr)
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT if at_once else signal.SIGTERM)

    def _look(self) -> None:
        """Says which jobs have begun and ended since the last look."""
        try:
            ledger = job_ledger.read(self.sweep)
        except (OSError, ValueError):
            return
        for job in ledger.jobs if ledger is not None else []:
            if ledger is not None and self._seen.get(job.number, "waiting") != job.status:
                self._seen[job.number] = job.status
                console.say(_line(ledger, job), sys.stdout)


def _here(ledger: Ledger) -> list[int]:
    """The processes on this machine that are at a job."""
    host = socket.gethostname()
    jobs = [job for job in ledger.jobs if job.status == "running" and job.host == host]
    return [job.pid for job in jobs if job.pid is not None]


def _line(ledger: Ledger, job: job_ledger.Job) -> str:
    text = f"{sweep_jobs.head(ledger, job.number)}: {job.status}"
    if job.status == "done" and job.value is not None and job.seconds is not None:
        return f"{text}, best {job.value:.4f}, {console.duration(job.seconds)}"
    return f"{text}: {job.error}" if job.error else text
