"""What a sweep is to do and how far it is: `sweep.json`, the one file that all its jobs share."""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import storage
from trainer.config import Config
from trainer.conversion import identity

FILE = "sweep.json"
FORMAT = 1
STATES = ("waiting", "running", "done", "failed", "stopped")


@dataclass(slots=True)
class Job:
    """One run of a sweep.

    Attributes:
        number: Its place in the sweep.
        overrides: What sets it apart.
        identity: SHA-256 of the configuration, keys aside that do not change what is computed.
        status: One of `STATES`.
        folder: Where its run is, seen from the sweep's folder.
        value: The best value of its monitored metric.
        error: Why it failed, in a line.
        seconds: What its last attempt took.
        pid: The process that has it, while it is running.
        host: The machine of that process.
    """

    number: int
    overrides: list[str]
    identity: str
    status: str = "waiting"
    folder: str | None = None
    value: float | None = None
    error: str | None = None
    seconds: float | None = None
    pid: int | None = None
    host: str | None = None


@dataclass(slots=True)
class Ledger:
    """The jobs of a sweep.

    Attributes:
        arguments: The command line behind `-m`.
        jobs: In order; a search adds them as it goes.
        direction: `maximize` or `minimize` for a search; None: the jobs were listed.
        stop: The signal that stops the sweep: no further job starts.
        trials: How many jobs a search is to have.
    """

    arguments: list[str]
    jobs: list[Job]
    direction: str | None = None
    stop: int | None = None
    trials: int | None = None

    @property
    def total(self) -> int:
        """How many jobs there are to be."""
        return max(len(self.jobs), self.trials or 0)

    @property
    def best(self) -> Job | None:
        """The job with the best value; None: none is done."""
        sign = -1 if self.direction == "minimize" else 1
        done = [job for job in self.jobs if job.status == "done" and job.value is not None]
        return max(done, key=lambda job: sign * (job.value or 0.0), default=None)


def planned(arguments: Sequence[str], jobs: Sequence[tuple[list[str], Config]]) -> Ledger:
    """A sweep that has not begun: the overrides and the configuration of each job."""
    made = [Job(n, overrides, digest(config)) for n, (overrides, config) in enumerate(jobs)]
    return Ledger(list(arguments), made)


def digest(config: Config) -> str:
    """SHA-256 of what a configuration computes."""
    return hashlib.sha256(json.dumps(identity(config), sort_keys=True).encode()).hexdigest()


def read(folder: Path) -> Ledger | None:
    """The ledger of a sweep's folder; None if it has none.

    Raises:
        ValueError: If it cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if entries["format"] != FORMAT:
            raise ValueError(f"{path}: has format {entries['format']}, this program reads {FORMAT}")
        jobs = [Job(**job) for job in entries["jobs"]]
        arguments = [str(a) for a in entries["arguments"]]
        more = {key: entries.get(key) for key in ("direction", "stop", "trials")}
        return Ledger(arguments, jobs, **more)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a sweep's ledger: {error}") from error


def write(folder: Path, ledger: Ledger) -> None:
    """Puts the ledger in place."""
    entries = {"format": FORMAT, **dataclasses.asdict(ledger)}
    storage.write_text(folder / FILE, json.dumps(entries, indent=2) + "\n")


@contextlib.contextmanager
def changing(sweep: Path) -> Generator[Ledger]:
    """The ledger, to be changed; several processes may do so, one after the other.

    Raises:
        FileNotFoundError: If it has gone.
    """
    with alone(sweep):
        ledger = read(sweep)
        if ledger is None:
            raise FileNotFoundError(f"{sweep / FILE}: has gone")
        yield ledger
        write(sweep, ledger)


def update(sweep: Path, number: int, **fields: Any) -> None:
    """Changes a job's entry."""
    with changing(sweep) as ledger:
        ledger.jobs[number] = dataclasses.replace(ledger.jobs[number], **fields)


def reopen(sweep: Path, wanted: Ledger) -> None:
    """Takes a sweep up again: what stopped it is over, and its processes are gone."""
    with changing(sweep) as ledger:
        ledger.stop, ledger.trials, ledger.arguments = None, wanted.trials, wanted.arguments
        for job in ledger.jobs:
            job.pid = job.host = None


def expect(sweep: Path, job: Job) -> None:
    """Adds a job of a search; the same one may be there from before.

    Raises:
        FileExistsError: If another one of that number is there.
    """
    with changing(sweep) as ledger:
        for number in range(len(ledger.jobs), job.number + 1):
            ledger.jobs.append(Job(number, [], ""))  # side by side, a later one may come before it
        found = ledger.jobs[job.number]
        if found.identity not in ("", job.identity):
            raise FileExistsError(
                f"{sweep}: belongs to another search: its job {job.number} is {_words(found)}, "
                f"here it would be {_words(job)}"
            )
        if not found.identity:
            ledger.jobs[job.number] = job


def check_same(found: Ledger, wanted: Ledger, folder: Path) -> None:
    """Raises FileExistsError, naming the first job that differs, unless both plan the same."""
    if found.direction is not None or wanted.direction is not None:
        _check_same_search(found, wanted, folder)
        return
    for number in range(max(len(found.jobs), len(wanted.jobs))):
        here = found.jobs[number] if number < len(found.jobs) else None
        new = wanted.jobs[number] if number < len(wanted.jobs) else None
        if here is None or new is None or here.identity != new.identity:
            raise FileExistsError(
                f"hydra.sweep.dir={folder}: belongs to another sweep: its job {number} is "
                f"{_words(here)}, here it would be {_words(new)}"
            )


def _check_same_search(found: Ledger, wanted: Ledger, folder: Path) -> None:
    """A search may be given another length; its trials are compared as they come."""
    plain = [
        (ledger.direction, [a for a in ledger.arguments if "n_trials=" not in a])
        for ledger in (found, wanted)
    ]
    if plain[0] != plain[1]:
        raise FileExistsError(
            f"hydra.sweep.dir={folder}: belongs to another sweep: {' '.join(found.arguments)}"
        )


def _words(job: Job | None) -> str:
    if job is None:
        return "none"
    return " ".join(job.overrides) or "the defaults"


@contextlib.contextmanager
def alone(folder: Path, name: str = ".sweep_lock", *, wait: bool = True) -> Generator[None]:
    """Keeps other processes out that ask for the same name in the same folder.

    Raises:
        BlockingIOError: If one is in, and nobody wants to wait.
    """
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
