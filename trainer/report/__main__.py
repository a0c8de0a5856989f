"""`python -m trainer.report`: compare runs. Reads their files only; needs no torch."""

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # files are replaced whole: nothing to save

import math
from pathlib import Path

from trainer.cli.command import Parser, framed, leave, show
from trainer.report.words import ACCURACY
from trainer.report.write import report

EXAMPLES = """\
FOLDER is a run, a sweep, or a folder with runs up to 3 levels down.

examples:
  python -m trainer.report outputs/sweeps/2026-11-21_09-30-00
  python -m trainer.report outputs/2026-11-21 --target 0.85 --output comparison
  python -m trainer.report first/run second/run"""


@framed
def main(arguments: list[str]) -> int:
    """Compares, prints and writes; returns the exit code."""
    parser = Parser(
        "report",
        "FOLDER... [--target VALUE] [--output FOLDER]",
        "Compares runs: writes report.html, report.md, report.csv and pictures.",
        EXAMPLES,
    )
    parser.add_argument(
        "--target",
        metavar="VALUE",
        help=f"measure steps and seconds to this accuracy (default: {ACCURACY.target}) or loss",
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=Path,
        help="where to write (default: report/ in the only FOLDER, else outputs/report/<time>)",
    )
    words = parser.read(arguments)
    folders = [Path(word) for word in words.flags.words]
    if not folders:
        raise ValueError("name a run folder, a sweep or a folder with runs; --help shows the usage")
    written = report(folders, words.flags.output, _target(words.flags.target), arguments)
    return show("\n".join(written.lines()))


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
    leave(main())
