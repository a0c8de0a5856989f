"""A report from folders to files."""

import math
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer import __version__
from trainer.report import screen, spreadsheet
from trainer.report.analysis import Report
from trainer.report.parts import analyse_parts
from trainer.report.read import find_runs, read_run
from trainer.report.remarks import made_with
from trainer.storage import files


@dataclass(frozen=True, slots=True)
class Written:
    """A report that has been written.

    Attributes:
        reports: What it says, a part each.
        folder: Where it lies.
        files: Its files: page, text, table and pictures.
    """

    reports: list[Report]
    folder: Path
    files: list[Path]

    def lines(self) -> list[str]:
        """What there is to say on the screen."""
        parts = [line for report in self.reports for line in [*screen.lines(report), ""]]
        return [*parts, f"report: {self.folder / 'report.html'}"]


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
    runs = [read_run(run, place) for run, place in find_runs(folders)]
    reports = analyse_parts(runs, target)
    now = time.localtime()
    if output is None:
        new = Path("outputs", "report", time.strftime("%Y-%m-%d_%H-%M-%S", now))
        output = folders[0] / "report" if len(folders) == 1 else new
    if arguments is None:
        target_flag = [] if target is None else [f"--target={target:g}"]
        arguments = [*map(str, folders), *target_flag, f"--output={output}"]
    command = shlex.join(["python", "-m", "trainer.report", *arguments])
    date = time.strftime("%Y-%m-%d %H:%M", now)
    origin = [f"Made with trainer {__version__} on {date}: {command}", *made_with(runs)]
    # matplotlib, jinja2 and plotly take a second to import; a mistyped folder answers without
    from trainer.report import figures, page

    texts = page.render(reports, origin, date, output) | {"report.csv": spreadsheet.text(reports)}
    output.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        files.write_text(output / name, text)
    names = list(texts)
    for part, each in enumerate(reports, 1):
        for figure, drawn in figures.draw(each).items():
            names.append(page.file_name(figure, part))
            files.write(output / names[-1], figures.encoded(drawn))
    return Written(reports, output, [output / name for name in names])
