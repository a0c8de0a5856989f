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
    """

    number: int
    overrides: list[str]
    identity: str
    status: str = "waiting"
    folder: str | None = None
    value: float | None = None
    error: str | None = None
    seconds: float | None = None


@dataclass(slots=True)
class Ledger:
    """The jobs of a sweep.

    Attributes:
        arguments: The command line behind `-m`.
        jobs: In order.
    """

    arguments: list[str]
    jobs: list[Job]


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
        return Ledger([str(a) for a in entries["arguments"]], jobs)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a sweep's ledger: {error}") from error


def write(folder: Path, ledger: Ledger) -> None:
    """Puts the ledger in place."""
    entries = {"format": FORMAT, **dataclasses.asdict(ledger)}
    storage.write_text(folder / FILE, json.dumps(entries, indent=2) + "\n")


def update(sweep: Path, number: int, **fields: Any) -> None:
    """Changes a job's entry; several processes may do so at once."""
    with _alone(sweep):
        ledger = read(sweep)
        if ledger is None:
            raise FileNotFoundError(f"{sweep / FILE}: has gone")
        ledger.jobs[number] = dataclasses.replace(ledger.jobs[number], **fields)
        write(sweep, ledger)


def check_same(found: Ledger, wanted: Ledger, folder: Path) -> None:
    """Raises FileExistsError, naming the first job that differs, unless both plan the same."""
    for number in range(max(len(found.jobs), len(wanted.jobs))):
        here = found.jobs[number] if number < len(found.jobs) else None
        new = wanted.jobs[number] if number < len(wanted.jobs) else None
        if here is None or new is None or here.identity != new.identity:
            raise FileExistsError(
                f"hydra.sweep.dir={folder}: belongs to another sweep: its job {number} is "
                f"{_words(here)}, here it would be {_words(new)}"
            )


def _words(job: Job | None) -> str:
    if job is None:
        return "none"
    return " ".join(job.overrides) or "the defaults"


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    descriptor = os.open(folder / ".sweep_lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
