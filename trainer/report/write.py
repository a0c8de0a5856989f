"""A report from folders to files."""

import math
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer import __version__
from trainer.report import screen, spreadsheet
from trainer.report.analysis import Report, analyse
from trainer.report.read import find_runs, read_run
from trainer.report.remarks import made_with
from trainer.storage import files


@dataclass(frozen=True, slots=True)
class Written:
    """A report that has been written.

    Attributes:
        report: What it says.
        folder: Where it lies.
        files: Its files: page, text, table and pictures.
    """

    report: Report
    folder: Path
    files: list[Path]

    def lines(self) -> list[str]:
        """What there is to say on the screen."""
        return [*screen.lines(self.report), "", f"report: {self.folder / 'report.html'}"]


def report(
    folders: Sequence[Path],
    output: Path | None = None,
    target: float | None = None,
    arguments: Sequence[str] | None = None,
) -> Written:
    """Compares runs and writes report.html, report.md, report.csv and the pictures.

    Args:
        folders: Run folders, sweep folders, or folders that contain such.
        output: Where to write; None: `report/` in the only folder, else a new one in
            `outputs/report`.
        target: Value that speed is measured by, above 0; an accuracy is at most 1. None: 80 % of
            accuracy, and nothing of a loss.
        arguments: Those of the command, for the record; None: those that do the same.

    Raises:
        ValueError: If a folder is missing or holds no run, or the target is out of its range.
        OSError: If a file cannot be written; names it.
    """
    if target is not None and not 0 < target < math.inf:
        raise ValueError(f"target={target:g}: must be above 0; 0.8 is 80 %")
    result = analyse([read_run(run, place) for run, place in find_runs(folders)], target)
    now = time.localtime()
    if output is None:
        new = Path("outputs", "report", time.strftime("%Y-%m-%d_%H-%M-%S", now))
        output = folders[0] / "report" if len(folders) == 1 else new
    if arguments is None:
        target_flag = [] if target is None else [f"--target={target:g}"]
        arguments = [*map(str, folders), *target_flag, f"--output={output}"]
    command = shlex.join(["python", "-m", "trainer.report", *arguments])
    date = time.strftime("%Y-%m-%d %H:%M", now)
    origin = [f"Made with trainer {__version__} on {date}: {command}", *made_with(result)]
    # matplotlib and jinja2 take half a second to import; a mistyped folder answers without
    from trainer.report.figures import pictures
    from trainer.report.page import render

    figures = pictures(result)
    texts = render(result, figures, origin, date) | {"report.csv": spreadsheet.text(result)}
    output.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        files.write_text(output / name, text)
    for picture in figures:
        files.write(output / f"{picture.name}.png", picture.png())
    names = [*texts, *(f"{picture.name}.png" for picture in figures)]
    return Written(result, output, [output / name for name in names])
