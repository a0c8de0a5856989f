"""A run as a command sees it: what it came to, as an exit code and a line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.cli import console
from trainer.cli.command import EXPLAINED, refuse
from trainer.config.fields import Config

if TYPE_CHECKING:
    from trainer.storage.checkpoint import Checkpoint
    from trainer.training.peers import Peers

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


def failed(error: Exception) -> Outcome:
    """What a run came to that was refused or failed; says why."""
    return Outcome(refuse(error), error=console.one_line(error))


def attempt(
    config: Config,
    folder: Path,
    resumed: "Checkpoint | None",
    command: Sequence[str],
    peers: "Peers | None" = None,
    parent: "Checkpoint | None" = None,
) -> Outcome:
    """One run, new, resumed or forked, in its locked folder; by all processes together."""
    from trainer.cli.signals import Stopped
    from trainer.training.peers import ALONE  # torch takes seconds
    from trainer.training.session import run_session

    try:
        return Outcome(0, run_session(config, folder, resumed, command, peers or ALONE, parent))
    except Stopped as stopped:
        return Outcome(stopped.code)
    except EXPLAINED as error:
        return failed(error)
