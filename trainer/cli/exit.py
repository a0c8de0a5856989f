"""How a command leaves: at once on a signal, and with its own code whatever becomes of its output.

Imports nothing of ours, so that a signal finds this set before the seconds that imports take.
"""

import contextlib
import os
import signal
import sys
from typing import NoReturn, TextIO


def at_once_on_signals() -> None:
    """From here on SIGINT and SIGTERM end the process with 128 + their number.

    For commands that have nothing to save: whatever they write is replaced whole or not at all.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os._exit(128 + number))


def leave(code: int) -> NoReturn:
    """Ends the process; a reader that is gone by its last line changes nothing."""
    for stream in (sys.stdout, sys.stderr):
        finish(stream)
    sys.exit(code)


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
