"""`python -m trainer.sweep`: how far a sweep is, what is left of it, and what one would cost."""

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # until a run takes them over

import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

from trainer.cli.command import Parser, framed, leave, show
from trainer.sweep import sweep_file
from trainer.sweep.sweep_file import Plan

PACKAGE = Path(__file__).resolve().parent.parent
EXAMPLES = """\
examples:
  python -m trainer.sweep status outputs/sweeps/2026-11-21_10-00-00
  python -m trainer.sweep retry outputs/sweeps/2026-11-21_10-00-00
  python -m trainer.sweep plan scheduler=steplr,cosine seed=0,1,2"""


@framed
def main(arguments: list[str]) -> int:
    """Prints or runs what was asked for; returns the exit code."""
    parser = Parser(
        "sweep",
        "status|retry FOLDER   or   plan key=value...",
        "Shows a sweep's jobs, or runs those that are not done: a stopped one goes on exactly "
        "where it was. plan shows the jobs of a sweep, their steps and about how long they take, "
        "and runs nothing.",
        EXAMPLES,
    )
    if arguments[:1] == ["plan"] and not {"-h", "--help"} & {*arguments}:
        from trainer.sweep.dry_run import shown

        return show("\n".join(shown([a for a in arguments[1:] if a not in ("-m", "--multirun")])))
    match parser.read(arguments).flags.words:
        case [("status" | "retry") as command, folder]:
            place = Path(folder)
        case _:
            raise ValueError(
                "name status or retry, and one sweep's folder, or plan and what a sweep would get; "
                "--help shows the usage"
            )
    plan = sweep_file.read(place)
    if plan is None:
        raise ValueError(f"{place}: is no sweep's folder: it holds no {sweep_file.FILE}")
    if command == "retry":
        _retry(place.resolve(), plan)
    from trainer.sweep.table import table

    return show("\n".join(table(place, plan)))


def _retry(folder: Path, plan: Plan) -> NoReturn:
    """Gives the sweep's command again, in this process, where its relative paths begin.

    Raises:
        ValueError: If that place has gone.
    """
    place = f"hydra.sweep.dir={folder}"
    if not Path(plan.cwd).is_dir():
        raise ValueError(
            f"{folder / sweep_file.FILE}: was begun in {plan.cwd}, which is no folder here; "
            "where its relative paths hold, give its command again: python -m trainer -m "
            f"{shlex.join([*plan.arguments, place])}"
        )
    paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    os.chdir(plan.cwd)
    command = [sys.executable, "-m", "trainer", "-m", *plan.arguments, place]
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    leave(main())
