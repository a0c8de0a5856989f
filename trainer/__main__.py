"""`python -m trainer`: train, resume, sweep."""

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # until a run takes them over; importing takes seconds

import contextlib
import functools
import os
import random
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from trainer import __version__
from trainer.cli import console
from trainer.cli.command import FULL_ERROR, framed, leave, show
from trainer.cli.launch import Launch
from trainer.config import help_text
from trainer.config.choices import load_plugins, with_config_dir
from trainer.config.fields import CONF, register
from trainer.config.overrides import parse
from trainer.config.quoting import quoted
from trainer.sweep import launchers
from trainer.sweep import start as sweep_start
from trainer.sweep.progress import carry_out_sweep
from trainer.sweep.start import Sweep
from trainer.sweep.sweep_task import SweepTask
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
    launchers.check_installed(overrides)
    sweeps = len(own) < len(plain)
    if sweeps and Launch.from_environment().processes > 1:
        raise ValueError(
            "-m: a sweep is not started by torchrun; hydra.launcher.processes_per_job=<n> starts "
            "each of its jobs so"
        )
    begin_it = sweep_start.begin if sweeps else run_start.begin
    return begin_it(own, overrides, locks)


def carry_out(plan: Start | Resume | Sweep, arguments: Sequence[str], peers: "Peers | None") -> int:
    """Runs what was asked for."""
    command = ["python", "-m", "trainer", *arguments]
    if isinstance(plan, Sweep):
        return through_hydra(plan, command)
    resumed = plan.resumed if isinstance(plan, Resume) else None
    parent = plan.parent if isinstance(plan, Start) else None
    if isinstance(plan, Start):
        plan.composed.write(plan.folder)
    if peers is not None:
        from trainer.training.processes import share

        share(plan.config, plan.folder, resumed, parent, peers)
    return attempt(plan.config, plan.folder, resumed, command, peers, parent).code


def through_hydra(plan: Sweep, command: list[str]) -> int:
    """Lets Hydra go from job to job of a sweep."""
    # Hydra would print an error of its own (a full disk, say) with a traceback, and leave.
    before, os.environ[FULL_ERROR] = os.environ.get(FULL_ERROR), "1"
    try:
        task = SweepTask(plan.folder, tuple(command), plan.launch, plan.searched)
        arguments = [*plan.arguments, "-m"]
        random.seed(0)  # Optuna draws the order of a grid from it
        return carry_out_sweep(plan.folder, plan.launch, lambda: hydra_run(task, arguments))
    except OSError as error:  # a run's own errors have become exit codes
        reason = f"Hydra's record of the run cannot be written: {console.one_line(error)}"
        raise OSError(error.errno, reason) from error
    finally:
        os.environ.pop(FULL_ERROR)
        if before is not None:
            os.environ[FULL_ERROR] = before


def hydra_run(task: Callable[..., float | None], arguments: Sequence[str]) -> None:
    """Hydra's whole way: it composes, writes its record, and calls the task, for each job."""
    import hydra

    register()
    sys.argv = [sys.argv[0], *arguments]
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()


def run() -> None:
    """The console script `trainer`."""
    signals.end_at_once()
    leave(main())


if __name__ == "__main__":
    leave(main())
