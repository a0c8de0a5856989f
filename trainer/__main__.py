"""`python -m trainer`: train, resume, sweep."""

import os
import signal

if __name__ == "__main__":
    # Until a run takes the signals over there is nothing to save, and importing takes seconds.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os._exit(128 + number))

import contextlib
import logging
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from trainer import __version__, console, door, folders, help_text
from trainer.arguments import CONF

FULL_ERROR = "HYDRA_FULL_ERROR"
TRACEBACKS = os.environ.get(FULL_ERROR) == "1"
USER_ERRORS = (ValueError, OSError, FloatingPointError, MemoryError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code.

    0 done, 1 failed, 2 bad configuration or arguments, 130 SIGINT, 143 SIGTERM.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if help_text.wanted(arguments):
            return show(help_text.text())
        if "--version" in arguments:
            return show(f"trainer {__version__}")
        if "--cfg" in arguments:
            return show(
                help_text.configuration([a for a in arguments if a not in ("--cfg", "job")])
            )
        with contextlib.ExitStack() as locks:
            return carry_out(door.enter(arguments, locks), arguments)
    except KeyboardInterrupt:
        return 130
    except USER_ERRORS as error:
        return refuse(error)


def show(text: str) -> int:
    """Prints a text to a reader who may leave early; returns 1 if it cannot be written."""
    return 0 if console.say(text, sys.stdout) else 1


def carry_out(plan: door.Start | door.Resume | door.Sweep, arguments: Sequence[str]) -> int:
    """Runs what the door let in."""
    command = ["python", "-m", "trainer", *arguments]
    if isinstance(plan, door.Resume):
        return attempt(plan, command)[0]
    return through_hydra(plan, command)


def through_hydra(plan: door.Start | door.Sweep, command: list[str]) -> int:
    """Lets Hydra write its record and, in a sweep, go from job to job."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

    from trainer.config import register
    from trainer.conversion import to_object

    codes: list[int] = []

    def task(config: DictConfig) -> float | None:
        if isinstance(plan, door.Start):
            code, value = attempt(plan, command)
        else:
            settings = HydraConfig.get()
            folder = Path(settings.runtime.output_dir)
            job = to_object(config)
            job.anchor()
            start = door.Start(list(settings.overrides.task), job, folder)
            code, value = attempt_job(start, command)
        codes.append(code)
        if code in (130, 143):  # a stopped run stops its sweep
            raise KeyboardInterrupt
        return value

    register()
    flags = ["-m"] if isinstance(plan, door.Sweep) else []
    sys.argv = [sys.argv[0], *plan.arguments, *flags]
    run = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)
    # Hydra would print an error of its own (a full disk, say) with a traceback, and leave.
    before, os.environ[FULL_ERROR] = os.environ.get(FULL_ERROR), "1"
    try:
        run()
    except KeyboardInterrupt:
        return codes[-1] if codes else 130
    except OSError as error:  # a run's own errors have become exit codes
        reason = f"Hydra's record of the run cannot be written: {console.one_line(error)}"
        raise OSError(error.errno, reason) from error
    finally:
        os.environ.pop(FULL_ERROR)
        if before is not None:
            os.environ[FULL_ERROR] = before
    failed = [number for number, code in enumerate(codes) if code]
    if isinstance(plan, door.Sweep):
        done = f"sweep: {len(codes) - len(failed)} of {plan.count} jobs done"
        show(f"{done}, failed: {', '.join(map(str, failed))}" if failed else done)
    return max(codes, default=1)


def attempt(plan: door.Start | door.Resume, command: list[str]) -> tuple[int, float | None]:
    """One run; returns its exit code and the value for a sweeper."""
    from trainer.session import run_session
    from trainer.signals import Stopped

    commit = plan.commit if isinstance(plan, door.Resume) else None
    try:
        return 0, run_session(plan.config, plan.folder, commit, command)
    except Stopped as stopped:
        return 128 + stopped.signal, None
    except USER_ERRORS as error:
        return refuse(error), None


def attempt_job(plan: door.Start, command: list[str]) -> tuple[int, float | None]:
    """One run of a sweep, which goes on whatever happens to it."""
    try:
        with folders.locked(plan.folder):
            if folders.belongs_to_a_run(plan.folder):
                raise FileExistsError(f"{plan.folder}: belongs to another job of the sweep")
            return attempt(plan, command)
    except USER_ERRORS as error:
        return refuse(error), None
    except Exception:  # a bug, or a library's error: the other jobs must not pay for it
        logging.getLogger("trainer").exception("failed")
        traceback.print_exc()
        return 1, None


def refuse(error: Exception) -> int:
    """Prints an error in one line; returns the exit code that belongs to it."""
    from trainer.storage import DamagedFile

    if TRACEBACKS:
        traceback.print_exception(error)
    console.say(f"trainer: error: {console.one_line(error)}", sys.stderr)
    bad_data = isinstance(error, DamagedFile | FloatingPointError)
    arguments = isinstance(error, ValueError | FileExistsError | NotADirectoryError)
    return 2 if arguments and not bad_data else 1


if __name__ == "__main__":
    code = main()
    console.finish(sys.stdout)
    console.finish(sys.stderr)
    sys.exit(code)
