"""What a run says: lines on the screen and in trainer.log, and a progress bar on a terminal."""

import contextlib
import logging
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

log = logging.getLogger("trainer")
FILE_ONLY = {"file_only": True}  # for `extra`: what the command itself prints in its own words


class _Screen(logging.Handler):
    """Prints plain lines on standard output, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one line."""
        if getattr(record, "file_only", False):
            return
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        if stream is None:  # pyright: ignore  # started without one
            return
        try:
            tqdm.write(self.format(record), file=stream)
            stream.flush()
        except (BrokenPipeError, ValueError):  # the reader has gone; the run has not
            silence(stream)


def one_line(error: Exception) -> str:
    """An error's message, with the file it is about."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(text.split())


def silence(stream: TextIO) -> None:
    """Sends what a closed stream still gets to nowhere, at the end of the process too."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def logging_to(folder: Path, *, quiet: bool) -> Generator[None]:
    """Sends what the run says to the screen and to `trainer.log` in the run folder.

    Args:
        folder: The run folder.
        quiet: Print warnings and errors only; the file gets everything.
    """
    screen = _Screen(logging.WARNING if quiet else logging.INFO)
    file = logging.FileHandler(folder / "trainer.log", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.INFO)
    log.propagate = False
    log.handlers[:] = [screen, file]
    try:
        yield
    finally:
        log.handlers.clear()
        file.close()


class EpochBar:
    """A tqdm bar over the updates of an epoch; does nothing unless it is wanted.

    Args:
        show: Whether to draw it.
        title: In front of the bar.
        total: Updates in the epoch.
        done: Updates already completed.
    """

    def __init__(self, *, show: bool, title: str, total: int, done: int) -> None:
        self._bar = (
            tqdm(total=total, initial=done, desc=title, unit="step", leave=False, file=sys.stderr)
            if show
            else None
        )

    def advance(self) -> None:
        """One update is done."""
        if self._bar is not None:
            self._bar.update()

    def loss(self, value: float) -> None:
        """Shows the newest loss."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {value:.3f}", refresh=False)

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.close()


def epoch_line(row: Mapping[str, float], split: str, epochs: int) -> str:
    """What an epoch came to, in one line.

    Args:
        row: Its metrics.
        split: `val` or `test`, whichever is evaluated.
        epochs: Planned length of the run.
    """
    line = (
        f"epoch {int(row['epoch']):>{len(str(epochs))}}/{epochs}"
        f"  lr {row['lr']:<9.4g}"
        f"  train loss {row['train/loss']:.4f} accuracy {row['train/accuracy']:6.2%}"
    )
    if f"{split}/loss" in row:
        loss, accuracy = row[f"{split}/loss"], row[f"{split}/accuracy"]
        line += f"  {split} loss {loss:.4f} accuracy {accuracy:6.2%}"
    line += f"  {row['seconds']:.1f} s  {row['images_per_second']:,.0f} images/s"
    if row["skipped_updates"]:
        line += f"  {int(row['skipped_updates'])} updates skipped"
    return line


def shows_bar(progress: str) -> bool:
    """Whether `log.progress` means a bar here."""
    terminal = sys.stderr is not None and sys.stderr.isatty()  # pyright: ignore
    return progress == "bar" or (progress == "auto" and terminal)
