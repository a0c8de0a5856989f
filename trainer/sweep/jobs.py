"""One job of a sweep: the command it is, and what its folder says about it."""

import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.config.quoting import quote
from trainer.storage import files, run_folder

STATES = ("waiting", "running", "done", "paused", "failed", "stopped", "interrupted")
AS_ASKED = ("done", "paused")  # it came to where it was to come
HOLDER = re.compile(r"process \d+ on (\S+)")  # as a lock names who has it


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a sweep, as it was planned.

    Attributes:
        number: Its place in the sweep, from 0.
        overrides: What sets it apart.
        folder: Its folder, seen from the sweep's.
        settings: What was asked for, flat: what it computes, and what else sets it apart.
        arguments: All its overrides, as typed; empty where the plan was read from its file.
    """

    number: int
    overrides: list[str]
    folder: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    arguments: tuple[str, ...] = ()

    def command(self, sweep: Path) -> list[str]:
        """The arguments of `python -m trainer` that are this job, begun or not."""
        place = f"hydra.run.dir={quote(str(sweep / self.folder))}"
        return [*self.arguments, place, "resume=auto"]


@dataclass(frozen=True, slots=True)
class State:
    """What a job's folder says.

    Attributes:
        status: One of `STATES`; behind `running` the machine, if it is another one.
        value: The best value of its monitored metric; None: not evaluated yet.
        error: Why it failed, in a line.
    """

    status: str
    value: float | None = None
    error: str | None = None


def state(folder: Path) -> State:
    """How far a job is, by its folder; asks without taking anything."""
    summary = run_folder.summary(folder)
    status, best = summary.get("status"), summary.get("best")
    value = best.get(str(best.get("monitor"))) if isinstance(best, dict) else None
    value = float(value) if isinstance(value, int | float) else None
    if files.in_use(folder):
        return State("running", value)
    if status == "failed":
        return State("failed", value, str(summary.get("error")))
    if status in (*AS_ASKED, "stopped"):
        return State(str(status), value)
    holder = HOLDER.match(_text(folder / run_folder.LOCK))
    if holder is not None and holder[1] != socket.gethostname():  # its lock cannot be asked here
        return State(f"running on {holder[1]}", value)
    if status == "running" or run_folder.checkpoints(folder):
        return State("interrupted", value)
    printed = _text(folder / run_folder.SCREEN).splitlines()  # of one that was refused
    return State("failed", error=printed[-1]) if printed else State("waiting")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def is_finished(folder: Path) -> bool:
    """Whether a job is done, and what it left is whole."""
    if state(folder).status != "done":
        return False
    try:
        files.read_sealed(run_folder.checkpoints(folder)[0])
    except (OSError, ValueError, IndexError):
        return False
    return True


def make_ready(job: Job, sweep: Path) -> None:
    """Makes a job's folder, and names its event files after what sets it apart."""
    folder = sweep / job.folder
    files.make_folder(folder)
    if not run_folder.checkpoints(folder):
        # Of an attempt that saved nothing: its command would refuse to write over it.
        (folder / run_folder.SUMMARY).unlink(missing_ok=True)
        run_folder.name_events(folder, ",".join(job.overrides))


class Listed:
    """The jobs of a sweep that are known beforehand.

    Attributes:
        jobs: All of them.
        total: How many there are.
    """

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs
        self.total = len(jobs)
        self._left = iter(jobs)

    def take(self) -> Job | None:
        """The next one; None: there is none left."""
        return next(self._left, None)

    def tell(self, job: Job, state: State) -> None:
        """Changes nothing: its folder says it. A search chooses by it."""
