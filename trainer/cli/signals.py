"""SIGTERM and SIGINT: a wish to stop that the loop grants at its next step, or the end at once.

Imports nothing of ours: a signal finds this set before the seconds that other imports take.
"""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


def end_at_once() -> None:
    """From here on SIGINT and SIGTERM end the process with 128 + their number.

    For commands that have nothing to save: whatever they write is replaced whole or not at all.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os._exit(128 + number))


class Stopped(Exception):
    """The run was asked to stop and has saved a checkpoint.

    Attributes:
        signal: The signal's number.
        code: The exit code.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number
        self.code = 128 + number


class StopRequest:
    """Remembers the first SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        """Whether a stop was asked for."""
        return self.signal is not None

    def check(self) -> None:
        """Raises Stopped if a stop was asked for."""
        if self.signal is not None:
            raise Stopped(self.signal)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal; a Ctrl-C behind another one does not wait for the checkpoint."""
        if number == signal.SIGINT and self.signal is not None:
            os._exit(128 + signal.SIGINT)
        if self.signal is None:
            self.signal = number


@contextmanager
def stop_requests(*more: signal.Signals) -> Generator[StopRequest]:
    """Catches SIGTERM and SIGINT for the duration of a run; inside another one, joins it.

    Args:
        more: Further signals to take as a wish to stop.
    """
    outer = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(outer, StopRequest):
        yield outer
        return
    request = StopRequest()
    numbers = (signal.SIGTERM, signal.SIGINT, *more)
    before = [signal.signal(number, request.receive) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
