"""A run as a command sees it: what it came to, as an exit code and a line."""

import contextlib
import os
import sys
import traceback
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.cli import console
from trainer.cli.launch import Launch
from trainer.config.fields import Config
from trainer.storage.files import DamagedFile

if TYPE_CHECKING:
    from trainer.storage.checkpoint import Commit
    from trainer.training.peers import Peers

FULL_ERROR = "HYDRA_FULL_ERROR"
TRACEBACKS = os.environ.get(FULL_ERROR) == "1"
USER_ERRORS = (ValueError, OSError, FloatingPointError, MemoryError)
STOPS = (130, 138, 140, 143)  # SIGINT, SIGUSR1, SIGUSR2, SIGTERM


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        code: 0 done, 1 failed, 2 refused, 128 + n: stopped by signal n.
        value: The best value of its monitored metric, if it is done.
        error: What went wrong, in a line.
    """

    code: int
    value: float | None = None
    error: str | None = None

    @property
    def status(self) -> str:
        """`done`, `stopped` or `failed`."""
        return "done" if not self.code else "stopped" if self.code in STOPS else "failed"


def attempt(
    config: Config, folder: Path, commit: "Commit | None", command: Sequence[str]
) -> Outcome:
    """One run, new or resumed, in its locked folder; by all processes, where there are several."""
    from trainer.training.session import run_session  # torch takes seconds
    from trainer.training.signals import Stopped

    try:
        with _together(config, folder) as peers:
            return Outcome(0, run_session(config, folder, commit, command, peers))
    except Stopped as stopped:
        return Outcome(128 + stopped.signal)
    except USER_ERRORS as error:
        return refuse(error)


@contextlib.contextmanager
def _together(config: Config, folder: Path) -> "Generator[Peers]":
    """This process alone, or with those that the launcher started beside it."""
    if Launch.from_environment().processes == 1:
        from trainer.training.peers import ALONE

        yield ALONE
        return
    from trainer.training.processes import own_team

    with own_team().leading(config, folder) as peers:
        yield peers


def refuse(error: Exception) -> Outcome:
    """Prints an error in one line."""
    if TRACEBACKS:
        traceback.print_exception(error)
    line = console.one_line(error)
    console.say(f"trainer: error: {line}", sys.stderr)
    bad_data = isinstance(error, DamagedFile | FloatingPointError)
    arguments = isinstance(error, ValueError | FileExistsError | NotADirectoryError)
    return Outcome(2 if arguments and not bad_data else 1, error=line)
