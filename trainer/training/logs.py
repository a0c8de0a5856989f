"""The logs of a run's history: metrics.jsonl, steps.jsonl, lr.csv and TensorBoard's event file."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from trainer.cli.console import log, one_line
from trainer.storage import files, run_folder
from trainer.storage.run_folder import resume_command
from trainer.training.event_file import EventFile
from trainer.training.history import History, public

Lines = Callable[[History, int], Iterator[str]]


class TextLog:
    """A text file with one line per entry of the history.

    Args:
        path: The file.
        header: Its first lines.
        lines: Gives the lines from an entry on.
        count: Counts the entries.
    """

    def __init__(
        self, path: Path, header: str, lines: Lines, count: Callable[[History], int]
    ) -> None:
        self.path = path
        self.header = header
        self.lines = lines
        self.count = count
        self._file: TextIO | None = None
        self._written = 0

    def rebuild(self, history: History) -> None:
        """Replaces the file by what the history says and opens it to go on.

        Raises:
            OSError: If it cannot be written; names it.
        """
        self.close()
        files.write_text(self.path, self.header + "".join(self.lines(history, 0)))
        self._file = self.path.open("a", encoding="utf-8")
        self._written = self.count(history)

    def append(self, history: History) -> None:
        """Adds what the history has gained since the last call."""
        if self._file is None:
            raise RuntimeError("rebuild comes first")
        self._file.writelines(self.lines(history, self._written))
        self._file.flush()
        self._written = self.count(history)

    def sync(self) -> None:
        """Waits until the disk has it all."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file; what could not be written is given up."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None


class Logs:
    """Four files in a run folder that repeat what the checkpoint holds.

    They are written anew from the history at every start, then appended to after each checkpoint,
    so that each row and point stands in them once, wherever the run was killed. Where an append
    fails (a full disk), the training goes on, for the checkpoint has it all: the file is
    written anew at the next checkpoint.

    Args:
        folder: The run folder.
        group_names: Name of each parameter group.
        steps_per_epoch: Steps in an epoch.
        every_steps: Steps between two LR points in TensorBoard.
    """

    def __init__(
        self, folder: Path, group_names: list[str], *, steps_per_epoch: int, every_steps: int
    ) -> None:
        self.folder = folder
        single = len(group_names) == 1
        columns = ["lr"] if single else [f"lr_{group}" for group in group_names]
        tags = ["lr"] if single else [f"lr/{group}" for group in group_names]
        self._logs = (
            TextLog(folder / run_folder.METRICS, "", _metrics_lines, lambda h: len(h.rows)),
            TextLog(folder / run_folder.STEPS, "", _steps_lines, lambda h: len(h.points)),
            TextLog(
                folder / run_folder.LR,
                ",".join(["step", *columns]) + "\n",
                _ledger_lines,
                lambda h: len(h.lrs),
            ),
            EventFile(
                run_folder.events(folder),
                tags,
                steps_per_epoch=steps_per_epoch,
                every_steps=every_steps,
            ),
        )
        self._broken: set[Path] = set()

    def rebuild(self, history: History) -> None:
        """Replaces the files by what the history says and opens them to go on.

        Raises:
            OSError: If one cannot be written; names it.
        """
        for file in self._logs:
            try:
                file.rebuild(history)
            except OSError as error:
                raise OSError(error.errno, _reason(file.path, error)) from error

    def append(self, history: History) -> None:
        """Adds what the history has gained; a file that failed before is written anew."""
        for file in self._logs:
            broken = file.path in self._broken
            try:
                if broken:
                    file.rebuild(history)
                    self._broken.discard(file.path)
                    log.info("%s: can be written again and is complete", file.path)
                else:
                    file.append(history)
            except OSError as error:
                if not broken:
                    self._broken.add(file.path)
                    log.warning(
                        "warning: %s; the training goes on: the checkpoint has it all, and the "
                        "next checkpoint writes this anew",
                        _reason(file.path, error),
                    )

    def finish(self, history: History) -> None:
        """Makes the files durable and complete at the end of a run.

        Raises:
            OSError: If one of them still cannot be written; names it and the way out.
        """
        for file in self._logs:
            try:
                if file.path in self._broken:
                    file.rebuild(history)
                file.sync()
            except OSError as error:
                raise OSError(
                    error.errno,
                    f"{_reason(file.path, error)}; the run is trained and saved to its end: "
                    f"{resume_command(self.folder)} writes what is missing",
                ) from error

    def close(self) -> None:
        """Closes the files."""
        for file in self._logs:
            file.close()


def _reason(path: Path, error: OSError) -> str:
    """What went wrong, with the file it is about; what `storage` raises names it already."""
    text = one_line(error)
    return text if str(path) in text else f"{path}: cannot be written: {text}"


def _metrics_lines(history: History, start: int) -> Iterator[str]:
    for row in history.rows[start:]:
        yield json.dumps(public(row)) + "\n"


def _steps_lines(history: History, start: int) -> Iterator[str]:
    for point in history.points[start:]:
        yield json.dumps(public(point)) + "\n"


def _ledger_lines(history: History, start: int) -> Iterator[str]:
    for k in range(start, len(history.lrs)):
        yield ",".join([str(k), *map(repr, history.lrs[k])]) + "\n"
