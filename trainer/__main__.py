"""`python -m trainer`: train, resume, sweep."""

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from trainer import door, help_text
from trainer.arguments import CONF

USER_ERRORS = (ValueError, OSError, FloatingPointError, MemoryError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code.

    0 done, 1 failed, 2 bad configuration or arguments, 130 SIGINT, 143 SIGTERM.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if help_text.wanted(arguments):
        print(help_text.text())
        return 0
    try:
        with contextlib.ExitStack() as locks:
            try:
                plan = door.enter(arguments, locks)
            except USER_ERRORS as error:
                return refuse(error)
            return carry_out(plan, arguments)
    except KeyboardInterrupt:
        return 130


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

    from trainer.config import register, to_object
    from trainer.storage import locked

    codes: list[int] = []

    def task(config: DictConfig) -> float | None:
        folder = Path(HydraConfig.get().runtime.output_dir)
        if isinstance(plan, door.Start):
            code, value = attempt(plan, command)
        else:
            with locked(folder):
                start = door.Start(
                    list(HydraConfig.get().overrides.task), to_object(config), folder
                )
                code, value = attempt(start, command)
        codes.append(code)
        if code in (130, 143):  # a stopped run stops its sweep
            raise KeyboardInterrupt
        return value

    register()
    flags = ["-m"] if isinstance(plan, door.Sweep) else []
    sys.argv = [sys.argv[0], *plan.arguments, *flags]
    run = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)
    try:
        run()
    except KeyboardInterrupt:
        return codes[-1] if codes else 130
    failed = [number for number, code in enumerate(codes) if code]
    if isinstance(plan, door.Sweep):
        done = f"sweep: {len(codes) - len(failed)} of {plan.count} jobs done"
        print(f"{done}, failed: {', '.join(map(str, failed))}" if failed else done)
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


def refuse(error: Exception) -> int:
    """Prints an error in one line; returns the exit code that belongs to it."""
    from trainer.storage import DamagedFile

    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    text = " ".join(_message(error).split())
    print(f"trainer: error: {text}", file=sys.stderr)
    bad_data = isinstance(error, DamagedFile | FloatingPointError)
    arguments = isinstance(error, ValueError | FileExistsError | NotADirectoryError)
    return 2 if arguments and not bad_data else 1


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
