"""What a sweep is to do and how far it is: `sweep.json`, the one file that all its jobs share."""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

from trainer.config.fields import Config
from trainer.config.sameness import experiment
from trainer.options.keys import flat
from trainer.storage import files, run_folder

FILE = run_folder.SWEEP
FORMAT = 1
T = TypeVar("T", "Job", "Ledger")
STATES = ("waiting", "running", "done", "failed", "stopped")


@dataclass(slots=True)
class Job:
    """One run of a sweep.

    Attributes:
        number: Its place in the sweep.
        overrides: What sets it apart.
        identity: SHA-256 of what was asked for.
        status: One of `STATES`.
        folder: Where its run is, seen from the sweep's folder.
        value: The best value of its monitored metric.
        error: Why it failed, in a line.
        seconds: What its last attempt took.
        pid: The process that has it, while it is running.
        host: The machine of that process.
        worst: The search was told that it failed, as which it counts from then on: the jobs behind
            it were chosen so, and a retry must come by them again.
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
    worst: bool = False


@dataclass(slots=True)
class Ledger:
    """The jobs of a sweep.

    Attributes:
        arguments: The command line behind `-m`.
        jobs: In order; a search adds them as it goes.
        direction: `maximize` or `minimize` for a search; None: the jobs were listed.
        stop: The signal that stops the sweep: no further job starts.
        trials: How many jobs a search is to have.
        settings: What was asked for in the first job, or in the base of a search; paths absolute.
        cwd: Where the command was given.
    """

    arguments: list[str]
    jobs: list[Job]
    direction: str | None = None
    stop: int | None = None
    trials: int | None = None
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    cwd: str | None = None

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
    made = [Job(n, swept, digest(config, swept)) for n, (swept, config) in enumerate(jobs)]
    return Ledger(list(arguments), made, settings=_plain(experiment(jobs[0][1])), cwd=os.getcwd())


def sought(arguments: Sequence[str], base: Config, trials: int) -> Ledger:
    """A search that has not begun: what its jobs start from, and how many there are to be."""
    settings = _plain(experiment(base))
    return Ledger(list(arguments), [], base.direction(), None, trials, settings, os.getcwd())


def digest(config: Config, swept: Sequence[str]) -> str:
    """SHA-256 of what was asked for, and of what else sets the job apart (`device=cpu,cuda`)."""
    keys = {override.partition("=")[0].lstrip("+") for override in swept}
    more = {key: value for key, value in flat(config.to_dict()).items() if key in keys}
    table = json.dumps(experiment(config) | more, sort_keys=True)
    return hashlib.sha256(table.encode()).hexdigest()


def _plain(table: dict[str, Any]) -> dict[str, Any]:
    """As it comes back out of the file."""
    return json.loads(json.dumps(table))


def read(folder: Path) -> Ledger | None:
    """The ledger of a sweep's folder; None if it has none.

    Raises:
        ValueError: If it cannot be read; names the file.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = entries["format"]
        if version == FORMAT:
            return _ledger(entries)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read as a sweep's ledger: {error}") from error
    raise ValueError(f"{path}: has format {version}, this program reads {FORMAT}")


def _ledger(entries: dict[str, Any]) -> Ledger:
    jobs = [_checked(Job(**job)) for job in entries["jobs"]]
    for number, job in enumerate(jobs):
        if job.number != number or job.status not in STATES:
            raise ValueError(f"job {number} has number {job.number}, status {job.status}")
    names = {item.name for item in dataclasses.fields(Ledger)}
    known: dict[str, Any] = {name: value for name, value in entries.items() if name in names}
    known["jobs"] = jobs
    return _checked(Ledger(**known))


def _checked(made: T) -> T:
    for item in dataclasses.fields(made):
        value = getattr(made, item.name)
        if not _fits(value, item.type):
            raise TypeError(f"{item.name} cannot be {str(value)[:60]}")
    return made


def _fits(value: object, kind: Any) -> bool:
    """Whether a value is of an annotated type."""
    if isinstance(kind, UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is list:
        (inner,) = get_args(kind)
        return isinstance(value, list) and all(isinstance(item, inner) for item in value)
    return isinstance(value, int | float if kind is float else get_origin(kind) or kind)


def write(folder: Path, ledger: Ledger) -> None:
    """Puts the ledger in place."""
    entries = {"format": FORMAT, **dataclasses.asdict(ledger)}
    files.write_text(folder / FILE, json.dumps(entries, indent=2) + "\n")


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


def reopen(sweep: Path, plan: Ledger) -> None:
    """Takes a sweep up again: what stopped it is over, and its processes are gone."""
    with changing(sweep) as ledger:
        ledger.stop, ledger.trials, ledger.arguments = None, plan.trials, plan.arguments
        ledger.cwd = plan.cwd
        for job in ledger.jobs:
            job.pid = job.host = None


def counts_as_worst(sweep: Path, number: int, *, failed: bool) -> bool:
    """Whether a search is told that a job failed: it does now, or did before."""
    with changing(sweep) as ledger:
        job = ledger.jobs[number]
        job.worst = job.worst or failed
        return job.worst


def words(job: Job) -> str:
    """What sets a job apart."""
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
