"""How long a run and the steps of its epoch have taken, over all interruptions."""

import time

from trainer.training.history import Progress


class Clock:
    """Puts the times into a run's progress.

    Args:
        progress: With the seconds that earlier processes spent on the run.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._start = time.perf_counter() - progress.seconds
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """The steps of an epoch, or those that are left, begin."""
        self._epoch_start = time.perf_counter() - self._progress.train_seconds

    def read(self) -> None:
        """Notes the seconds so far."""
        self._progress.seconds = time.perf_counter() - self._start

    def read_steps(self) -> None:
        """Notes those of the epoch's steps, too."""
        self.read()
        self._progress.train_seconds = time.perf_counter() - self._epoch_start
