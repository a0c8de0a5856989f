"""What a run says: lines on the screen and in trainer.log, and a progress bar on a terminal."""

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from trainer.storage.run_folder import LOG

# Only this process draws. tqdm's own lock is for several, and a killed process would leave it
# behind for Python to complain about.
tqdm.set_lock(threading.RLock())
log = logging.getLogger("trainer")
FILE_ONLY = {"file_only": True}  # for `extra`: what the command itself prints in its own words


def say(text: str, stream: TextIO | None) -> bool:
    """Prints a line above a progress bar; what cannot be printed must not stop a run.

    Returns:
        Whether it was printed, or its reader has gone and nobody misses it.
    """
    if stream is None:  # started without one
        return True
    try:
        tqdm.write(text, file=stream)
        stream.flush()
    except UnicodeEncodeError:  # a terminal for ASCII
        return say(text.encode("ascii", "backslashreplace").decode(), stream)
    except (BrokenPipeError, ValueError):  # the reader has gone, or the stream is closed
        silence(stream)
    except OSError:  # a full disk behind a redirection
        return False
    return True


def finish(stream: TextIO | None) -> None:
    """Flushes a stream at the end of the process, which must not fail over its last line."""
    if stream is not None:
        try:
            stream.flush()
        except (OSError, ValueError):
            silence(stream)


def silence(stream: TextIO) -> None:
    """Sends what a closed stream still gets to nowhere, at the end of the process too."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


class _Screen(logging.Handler):
    """Prints plain lines on standard output, above a progress bar where there is one."""

    failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one line; says once where it cannot."""
        if getattr(record, "file_only", False):
            return
        to_errors = record.levelno >= logging.WARNING
        printed = say(self.format(record), sys.stderr if to_errors else sys.stdout)
        if not printed and not self.failed:
            self.failed = True
            name = "standard error" if to_errors else "standard output"
            log.warning("warning: %s cannot be written; the lines are in trainer.log", name)


class _LogFile(logging.FileHandler):
    """`trainer.log`; a disk that is full for a while costs lines, not the run."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Says once what cannot be written, and why."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.failed:
            self.failed = True
            reason = error.strerror or str(error)
            say(f"warning: {self.baseFilename}: {reason}; lines are missing there", sys.stderr)

    def close(self) -> None:
        """Closes the file, whether or not its last line could be written."""
        with contextlib.suppress(OSError):
            super().close()


def one_line(error: BaseException) -> str:
    """An error's message, with the file it is about."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(text.split())


def _show_warning(message: Warning | str, *where: object) -> None:
    """A library's warning as a line of ours, without the line of its code."""
    del where
    log.warning("warning: %s", " ".join(str(message).split()))


@contextmanager
def logging_to(folder: Path, *, quiet: bool) -> Generator[None]:
    """Sends what the run says to the screen and to `trainer.log` in the run folder.

    Args:
        folder: The run folder.
        quiet: Print warnings and errors only; the file gets everything.
    """
    screen = _Screen(logging.WARNING if quiet else logging.INFO)
    file = _LogFile(folder / LOG, encoding="utf-8", errors="backslashreplace")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.INFO)
    log.propagate = False
    log.handlers[:] = [screen, file]
    before_warnings, warnings.showwarning = warnings.showwarning, _show_warning
    try:
        yield
    finally:
        warnings.showwarning = before_warnings
        log.handlers.clear()
        file.close()


@contextmanager
def silent() -> Generator[None]:
    """Says nothing: another process speaks for this one."""
    before = log.disabled
    before_warnings, warnings.showwarning = warnings.showwarning, _show_warning
    log.disabled = True
    try:
        yield
    finally:
        warnings.showwarning = before_warnings
        log.disabled = before


class StepBar:
    """A tqdm bar over steps, to be used by `with`; does nothing unless it is wanted.

    Args:
        title: In front of the bar.
        total: How many steps there are.
        done: Steps already completed.
        show: Whether to draw it.
    """

    failed = False  # one attempt is enough

    def __init__(self, title: str, total: int, done: int = 0, *, show: bool) -> None:
        self._bar: tqdm[Any] | None = None
        if show and not StepBar.failed:
            with self._drawing():
                self._bar = tqdm(
                    total=total, initial=done, desc=title, unit="step", leave=False, file=sys.stderr
                )

    @contextmanager
    def _drawing(self) -> Generator[None]:
        """A terminal that has gone takes the bar with it, not the run."""
        try:
            yield
        except (OSError, ValueError):
            self._bar, StepBar.failed = None, True

    def advance(self, news: str = "") -> None:
        """One step is done; `news` is what stands behind the bar from now on."""
        if self._bar is not None:
            with self._drawing():
                if news:
                    self._bar.set_postfix_str(news, refresh=False)
                self._bar.update()

    def __enter__(self) -> "StepBar":
        """The bar itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Removes the bar."""
        if self._bar is not None:
            with self._drawing():
                self._bar.close()


def duration(seconds: float) -> str:
    """A time in words: `8.2 s`, `12 min`, `3 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def shows_bar(progress: str) -> bool:
    """Whether `log.progress` means a bar here."""
    if sys.stderr is None:  # pyright: ignore  # started without one
        return False
    return progress == "bar" or (progress == "auto" and sys.stderr.isatty())
