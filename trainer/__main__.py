"""`python -m trainer`: train, resume, sweep."""

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # until a run takes them over; importing takes seconds

import contextlib
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainer import __version__
from trainer.cli.command import framed, leave, show
from trainer.cli.launch import Launch
from trainer.config import help_text
from trainer.config.choices import load_plugins, with_config_dir
from trainer.config.overrides import parse
from trainer.config.quoting import quoted
from trainer.sweep import start as sweep_start
from trainer.sweep.start import Sweep
from trainer.training import start as run_start
from trainer.training.attempt import attempt
from trainer.training.start import Resume, Start

if TYPE_CHECKING:
    from trainer.training.peers import Peers

SWEEP_FLAGS = ("-m", "--multirun")


@framed
def main(arguments: list[str]) -> int:
    """Runs the command line; returns the exit code."""
    launch = Launch.from_environment()
    if launch.processes == 1:
        return answer(arguments)
    from trainer.training.processes import together  # torch takes seconds

    def first(words: list[str], peers: "Peers") -> int:
        return framed(functools.partial(answer, peers=peers))(words)

    return together(launch, arguments, first)


def answer(arguments: list[str], peers: "Peers | None" = None) -> int:
    """Does what the arguments ask for, with other processes or alone; returns the exit code."""
    if help_text.asked_for(arguments):
        return show(help_text.text(arguments))
    if "--version" in arguments:
        return show(f"trainer {__version__}")
    if "--cfg" in arguments:
        return show(help_text.configuration([a for a in arguments if a not in ("--cfg", "job")]))
    with contextlib.ExitStack() as locks:
        return carry_out(begin(arguments, locks), arguments, peers)


def begin(arguments: Sequence[str], locks: contextlib.ExitStack) -> Start | Resume | Sweep:
    """What the arguments ask for, checked; its folder is locked."""
    plain = with_config_dir(arguments)
    own = [quoted(a) for a in plain if a not in SWEEP_FLAGS]
    overrides = parse(own)
    load_plugins(overrides)
    begin_it = sweep_start.begin if len(own) < len(plain) else run_start.begin
    return begin_it(own, overrides, locks)


def carry_out(plan: Start | Resume | Sweep, arguments: Sequence[str], peers: "Peers | None") -> int:
    """Runs what was asked for."""
    if isinstance(plan, Sweep):
        return sweep_start.carry_out(plan)
    command = ["python", "-m", "trainer", *arguments]
    resumed = plan.resumed if isinstance(plan, Resume) else None
    parent = plan.parent if isinstance(plan, Start) else None
    if isinstance(plan, Start):
        plan.composed.write(plan.folder)
    if peers is not None:
        from trainer.training.processes import share

        share(plan.config, plan.folder, resumed, parent, peers)
    return attempt(plan.config, plan.folder, resumed, command, peers, parent).code


def run() -> None:
    """The console script `trainer`."""
    signals.end_at_once()
    leave(main())


if __name__ == "__main__":
    leave(main())
