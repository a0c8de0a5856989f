"""Several processes as one command: the first reads the arguments, the others follow its plans."""

import contextlib
import functools
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

from trainer.cli import console
from trainer.cli.launch import Launch
from trainer.cli.signals import Stopped
from trainer.config.fields import Config
from trainer.config.saved import read_saved, to_object
from trainer.options import plugins
from trainer.training.device import choose_device
from trainer.training.peers import Dismissed, PeerEnded, Peers
from trainer.training.rendezvous import Rendezvous
from trainer.training.session import run_session


class Ranks:
    """The processes of one command.

    Args:
        launch: Which of them this is.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.board = Rendezvous(launch)
        self._plans = 0

    @contextlib.contextmanager
    def leading(self, config: Config, folder: Path) -> Generator[Peers]:
        """Has all processes carry out a run, of which this one does its part meanwhile."""
        self.board.post(self._plans, {"config": config.to_dict(), "folder": str(folder)})
        with self._joined(config) as peers:
            yield peers

    def end(self, code: int) -> None:
        """Sends the others home with an exit code."""
        self.board.post(self._plans, {"code": code})
        self.board.say_goodbye()

    def follow(self) -> int:
        """Carries out what the first process plans, without writing or saying anything.

        Returns:
            The exit code: the first process's, or 1 if this one failed alone.
        """
        while (plan := self._next_plan()) is not None and "code" not in plan:
            folder = Path(plan["folder"])
            plugins.load(plan["config"]["plugins"])  # the first process's own
            config = to_object(read_saved(plan["config"], folder))
            try:
                with self._joined(config) as peers:
                    run_session(config, folder, None, [], peers)
            except (Stopped, FloatingPointError, Dismissed):
                continue  # all processes come to that, and the first one says so
            except (ValueError, OSError, MemoryError) as error:
                self._say(error)
                if not isinstance(error, PeerEnded):
                    return 1
        if plan is None:
            return 1
        self.board.say_goodbye()
        return int(plan["code"])

    def _next_plan(self) -> dict[str, Any] | None:
        try:
            return self.board.read(self._plans)
        except PeerEnded as error:
            self._say(error)
            return None

    def _say(self, error: Exception) -> None:
        line = f"process {self.launch.rank}: {console.one_line(error)}"
        console.say(f"trainer: error: {line}", sys.stderr)

    @contextlib.contextmanager
    def _joined(self, config: Config) -> Generator[Peers]:
        number, self._plans = self._plans, self._plans + 1
        with self.board.joined(choose_device(config.device, self.launch), number) as peers:
            yield peers


@functools.cache
def own_ranks() -> Ranks:
    """The team of this process."""
    return Ranks(Launch.from_environment())


def again(arguments: list[str], folder: str) -> list[str]:
    """The arguments of a command that the launcher started again, going on where it was.

    Args:
        arguments: As they were.
        folder: Where the command worked.
    """
    sweep = any(a in ("-m", "--multirun") for a in arguments)
    key = "hydra.sweep.dir" if sweep else "hydra.run.dir"
    resumed = any(a.startswith("resume=") and a not in ("resume=auto", "resume=null")
                  for a in arguments)  # fmt: skip
    others = [a for a in arguments if not a.lstrip("+").startswith((f"{key}=", "resume="))]
    if sweep:
        return [*others, f"{key}={folder}"]
    if resumed:
        return [*others, f"resume={folder}"]
    return [*others, f"{key}={folder}", "resume=auto"]
