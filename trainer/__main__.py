"""`python -m trainer`: train, resume, sweep."""

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # until a run takes them over; importing takes seconds

import contextlib
import os
import sys
from collections.abc import Callable, Sequence

from trainer import __version__
from trainer.cli import console
from trainer.cli.command import FULL_ERROR, framed, leave, show
from trainer.cli.launch import Launch
from trainer.config import help_text
from trainer.config.choices import load_plugins, with_config_dir
from trainer.config.fields import CONF, register
from trainer.config.overrides import parse
from trainer.config.quoting import quoted
from trainer.sweep import start as sweep_start
from trainer.sweep.start import Sweep
from trainer.training import start as run_start
from trainer.training.attempt import attempt
from trainer.training.start import Resume, Start

SWEEP_FLAGS = ("-m", "--multirun")


@framed
def main(arguments: list[str]) -> int:
    """Runs the command line; returns the exit code."""
    launch = Launch.from_environment()
    if launch.processes == 1:
        return answer(arguments)
    from trainer.training.processes import again, own_ranks  # torch takes seconds

    if not launch.leads:
        return own_ranks().follow()
    if launch.restarts and (folder := own_ranks().board.remembered()) is not None:
        arguments = again(arguments, folder)
    code = framed(answer)(arguments)
    own_ranks().end(code)
    return code


def answer(arguments: list[str]) -> int:
    """Does what the arguments ask for; returns the exit code."""
    if help_text.asked_for(arguments):
        return show(help_text.text(arguments))
    if "--version" in arguments:
        return show(f"trainer {__version__}")
    if "--cfg" in arguments:
        return show(help_text.configuration([a for a in arguments if a not in ("--cfg", "job")]))
    with contextlib.ExitStack() as locks:
        return carry_out(begin(arguments, locks), arguments)


def begin(arguments: Sequence[str], locks: contextlib.ExitStack) -> Start | Resume | Sweep:
    """What the arguments ask for, checked; its folder is locked."""
    plain = with_config_dir(arguments)
    own = [quoted(a) for a in plain if a not in SWEEP_FLAGS]
    overrides = parse(own)
    load_plugins(overrides)
    begin_it = sweep_start.begin if len(own) < len(plain) else run_start.begin
    return begin_it(own, overrides, locks)


def carry_out(plan: Start | Resume | Sweep, arguments: Sequence[str]) -> int:
    """Runs what was asked for."""
    if isinstance(plan, Sweep):
        return sweep_start.carry_out(plan)
    command = ["python", "-m", "trainer", *arguments]
    if Launch.from_environment().processes > 1:
        from trainer.training.processes import own_ranks

        own_ranks().board.remember(str(plan.folder))
    if isinstance(plan, Resume):
        return attempt(plan.config, plan.folder, plan.resumed, command).code
    return through_hydra(plan, command)


def through_hydra(plan: Start, command: list[str]) -> int:
    """Lets Hydra write its record."""
    codes: list[int] = []

    def single(config: object) -> float | None:
        del config
        outcome = attempt(plan.config, plan.folder, None, command)
        codes.append(outcome.code)
        return outcome.value

    # Hydra would print an error of its own (a full disk, say) with a traceback, and leave.
    before, os.environ[FULL_ERROR] = os.environ.get(FULL_ERROR), "1"
    try:
        hydra_run(single, plan.arguments)
    except OSError as error:  # a run's own errors have become exit codes
        reason = f"Hydra's record of the run cannot be written: {console.one_line(error)}"
        raise OSError(error.errno, reason) from error
    finally:
        os.environ.pop(FULL_ERROR)
        if before is not None:
            os.environ[FULL_ERROR] = before
    return max(codes)


def hydra_run(task: Callable[..., float | None], arguments: Sequence[str]) -> None:
    """Hydra's whole way: it composes, writes its record, and calls the task."""
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
