"""`python -m trainer.report`: compare runs. Reads their files only; needs no torch."""

from trainer.cli import exit

if __name__ == "__main__":
    exit.at_once_on_signals()  # files are replaced whole: nothing to save

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from trainer.cli import console
from trainer.report.analysis import TARGET
from trainer.report.screen import lines
from trainer.report.write import report

EXAMPLES = """\
examples:
  python -m trainer.report outputs/sweeps/2026-11-21_09-30-00
  python -m trainer.report outputs/2026-11-21 --target 0.85 --output comparison
  python -m trainer.report first/run second/run"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are ours: one line."""

    def error(self, message: str) -> NoReturn:
        """Raises ValueError with what argparse has to say."""
        raise ValueError(f"{message}; --help shows the usage")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares, prints and writes; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _Parser(
        prog="python -m trainer.report",
        description="Compares runs: writes report.html, report.md, report.csv and pictures.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        type=Path,
        nargs="+",
        help="a run, a sweep, or a folder with runs up to 3 levels down",
    )
    parser.add_argument(
        "--target",
        metavar="VALUE",
        help=f"measure updates and seconds to this accuracy (default: {TARGET}) or loss",
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=Path,
        help="where to write (default: report/ in the only FOLDER, else outputs/report/<time>)",
    )
    try:
        flags = parser.parse_args(arguments)
        written = report(flags.folders, flags.output, _target(flags.target), arguments)
        print("\n".join(lines(written)), flush=True)
    except BrokenPipeError:  # piped into something that has read enough
        exit.silence(sys.stdout)
    except (ValueError, OSError) as error:
        print(f"trainer: error: {console.one_line(error)}", file=sys.stderr)
        mistakes = ValueError | FileExistsError | NotADirectoryError
        return 2 if isinstance(error, mistakes) else 1
    return 0


def _target(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise ValueError(f"--target {text}: must be a number above 0; 0.8 is 80 %")
    return value


if __name__ == "__main__":
    exit.leave(main())
