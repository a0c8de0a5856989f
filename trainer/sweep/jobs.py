"""One job of a sweep: the command it is, and what its folder says about it."""

import os
import re
import shlex
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.config.quoting import quote
from trainer.storage import files, run_folder

STATES = ("waiting", "running", "done", "failed", "stopped", "interrupted")
HOLDER = re.compile(r"process (\d+) on (\S+)")  # as a lock names who has it
ERROR = re.compile(r"^(trainer: error: |\w+Error: )")


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a sweep, as it was planned.

    Attributes:
        number: Its place in the sweep, from 0.
        overrides: What sets it apart.
        folder: Its folder, seen from the sweep's.
        identity: SHA-256 of what was asked for.
        arguments: All its overrides, as typed; empty where the plan was read from its file.
    """

    number: int
    overrides: list[str]
    folder: str
    identity: str = ""
    arguments: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What sets it apart, in one line."""
        return " ".join(self.overrides) or "the defaults"

    def command(self, sweep: Path) -> list[str]:
        """The arguments of `python -m trainer` that are this job, begun or not."""
        place = f"hydra.run.dir={quote(str(sweep / self.folder))}"
        return [*self.arguments, place, "resume=auto"]


@dataclass(frozen=True, slots=True)
class State:
    """What a job's folder says.

    Attributes:
        status: One of `STATES`.
        value: The best value of its monitored metric; None: not evaluated yet.
        error: Why it failed, in a line.
        host: The machine that it runs on, if that is another one.
    """

    status: str
    value: float | None = None
    error: str | None = None
    host: str | None = None


def state(folder: Path) -> State:
    """How far a job is, by its folder; asks without taking anything."""
    summary = run_folder.summary(folder)
    best = summary.get("best")
    name = best.get("monitor") if isinstance(best, dict) else None
    value = best.get(name) if isinstance(best, dict) and isinstance(name, str) else None
    value = float(value) if isinstance(value, int | float) else None
    if files.in_use(folder):
        return State("running", value)
    status, host = summary.get("status"), _elsewhere(folder)
    if status in (None, "running") and host is not None:  # its lock cannot be asked from here
        return State("running", value, host=host)
    if status == "failed":
        return State("failed", value, str(summary.get("error")))
    if status in ("done", "stopped"):
        return State(str(status), value)
    if status == "running" or run_folder.checkpoints(folder):
        return State("interrupted", value)
    refused = _last_error(folder)  # before it had a summary
    return State("waiting") if refused is None else State("failed", error=refused)


def holder(folder: Path) -> int | None:
    """The process on this machine that is at a job; None: none is."""
    found = _named(folder) if files.in_use(folder) else None
    return int(found[1]) if found is not None else None


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


def why_ended(code: int) -> str | None:
    """What an exit code says of a job whose folder could not; None: nothing is wrong with it.

    Args:
        code: Negative for a signal.
    """
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"left with {code}" if code else None


def shell(arguments: Sequence[str]) -> str:
    """What to paste."""
    return f"python -m trainer {shlex.join(arguments)}"


def _elsewhere(folder: Path) -> str | None:
    """The other machine whose process had the folder last."""
    found = _named(folder)
    return found[2] if found is not None and found[2] != socket.gethostname() else None


def _named(folder: Path) -> re.Match[str] | None:
    try:
        return HOLDER.match((folder / run_folder.LOCK).read_text(errors="replace"))
    except OSError:
        return None


def _last_error(folder: Path) -> str | None:
    """The last line of an attempt that ended before its summary; None: there was none."""
    for name in (run_folder.SCREEN, run_folder.LOG):
        if lines := list(_tail(folder / name)):
            return ERROR.sub("", lines[-1])
    return None


def _tail(path: Path) -> Iterator[str]:
    """The last lines of a file that may be anything."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            yield from filter(None, file.read().decode(errors="replace").splitlines())
    except OSError:
        return
