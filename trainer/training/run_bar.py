"""How a run is getting on within an epoch: a bar on a terminal, a line a minute elsewhere."""

import time

from trainer.cli.console import StepBar, duration, log, shows_bar
from trainer.training.run import Run

EVERY = 60.0  # seconds between two lines


class RunBar:
    """Shows loss, LR, images per second and the time left for the run.

    Args:
        run: What is trained; the first of its processes shows it.
    """

    def __init__(self, run: Run) -> None:
        mode = run.config.log.progress
        self._run = run
        self._draws = run.peers.leads and shows_bar(mode)
        self._says = run.peers.leads and not self._draws and mode != "none"
        self._first, self._start = run.progress.step, time.perf_counter()
        self._said = self._start

    def epoch(self) -> StepBar:
        """The bar of the epoch under way, or what is left of it."""
        run, progress = self._run, self._run.progress
        self._said = time.perf_counter()
        title = f"epoch {progress.epoch + 1}/{run.config.epochs}"
        return StepBar(title, run.steps_per_epoch, progress.step_in_epoch, show=self._draws)

    def news(self, loss: float | None) -> str:
        """What to show behind the bar; says it in a line where there is none, once a minute.

        Args:
            loss: The newest loss, where a reading has arrived.
        """
        late = self._says and time.perf_counter() - self._said > EVERY
        if loss is None or not (self._draws or late):
            return ""
        run, progress = self._run, self._run.progress
        seconds = time.perf_counter() - self._start
        each = seconds / max(progress.step - self._first, 1)  # evaluations included
        left = (run.config.epochs * run.steps_per_epoch - progress.step) * each
        words = (
            f"loss {loss:.3f}, lr {run.history.lrs[-1][0]:.3g}, "
            f"{run.config.batch_size / each:,.0f} {run.config.task().examples}/s, "
            f"{duration(left)} left"
        )
        if late:
            self._said = time.perf_counter()
            place = f"epoch {progress.epoch + 1}/{run.config.epochs}"
            log.info(
                "%s, step %d/%d: %s", place, progress.step_in_epoch, run.steps_per_epoch, words
            )
        return words
