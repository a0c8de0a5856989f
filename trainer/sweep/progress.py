"""What a sweep says: a line as a job begins and ends, how far it is, and what it came to."""

import sys
import time
from pathlib import Path

from omegaconf import OmegaConf

from trainer.cli import console
from trainer.storage import files
from trainer.sweep.jobs import STATES, Job, State, state
from trainer.sweep.source import Source

WIDTH = 20  # of the bar
RESULTS = "optimization_results.yaml"


class Progress:
    """How far a sweep is.

    Args:
        sweep: Its folder.
        source: Its jobs.
        at_once: How many run side by side.
        direction: `maximize` or `minimize`: a search's; None: none is named the best.
    """

    def __init__(
        self, sweep: Path, source: Source, at_once: int = 1, direction: str | None = None
    ) -> None:
        self.sweep = sweep
        self.source = source
        self.at_once = at_once
        self.direction = direction
        self.ended: dict[int, State] = {}
        self._begun: dict[int, float] = {}
        self._took: list[float] = []

    def title(self, job: Job) -> str:
        """Which job it is, and what sets it apart."""
        words = " ".join(job.overrides)
        return f"job {job.number} of {self.source.total}" + (f" ({words})" if words else "")

    def head(self, job: Job) -> str:
        """The bar, the job, and the time that is left, by the jobs so far."""
        over = [s for s in self.ended.values() if s.status in ("done", "failed")]
        filled = WIDTH * len(over) // self.source.total
        line = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {self.title(job)}"
        if self._took and len(over) < self.source.total:
            left = sum(self._took) / len(self._took) * (self.source.total - len(over))
            line += f", about {console.duration(left / self.at_once)} left"
        return line

    def skip(self, job: Job) -> None:
        """A job is done, and was before."""
        self.ended[job.number] = state(self.sweep / job.folder)
        console.say(f"{self.title(job)}: done before", sys.stdout)

    def begin(self, job: Job) -> None:
        """A job begins."""
        self._begun[job.number] = time.monotonic()
        console.say(self.head(job), sys.stdout)

    def end(self, job: Job, ended: State) -> None:
        """A job has ended."""
        self.ended[job.number] = ended
        seconds = time.monotonic() - self._begun.pop(job.number, time.monotonic())
        if ended.status == "done":
            self._took.append(seconds)
        text = f"{self.head(job)}: {ended.status}"
        if ended.status == "done" and ended.value is not None:
            text += f", best {ended.value:.4f}, {console.duration(seconds)}"
        elif ended.error is not None:
            text += f": {ended.error}"
        console.say(text, sys.stdout)

    def sum_up(self) -> int:
        """Prints what the sweep came to; returns its exit code: 1 unless every job is done."""
        states = {
            job.number: self.ended.get(job.number) or state(self.sweep / job.folder)
            for job in self.source.jobs()
        }
        done = sum(found.status == "done" for found in states.values())
        if self.direction is not None:
            self._say_best(states)
        console.say(f"sweep: {done} of {self.source.total} jobs done; {self.sweep}", sys.stdout)
        for status in STATES:
            for job in self.source.jobs():
                found = states[job.number]
                if found.status == status and status != "done":
                    reason = f": {found.error}" if found.error else ""
                    line = f"  {status}: job {job.number} ({' '.join(job.overrides)}){reason}"
                    console.say(line, sys.stdout)
        if done:
            self._report()
        if done < self.source.total:
            retry = f"  python -m trainer.sweep retry {self.sweep}   runs what is not done"
            console.say(retry, sys.stdout)
        return 0 if done == self.source.total else 1

    def _say_best(self, states: dict[int, State]) -> None:
        """Names the job with the best value, and writes it down as Hydra's searches do."""
        sign = -1 if self.direction == "minimize" else 1
        values = {
            number: found.value
            for number, found in states.items()
            if found.status == "done" and found.value is not None
        }
        if not values:
            return
        best = max(values, key=lambda number: sign * values[number])
        job = next(job for job in self.source.jobs() if job.number == best)
        console.say(f"best: {self.title(job)}: {values[best]:g}", sys.stdout)
        params = dict(override.split("=", 1) for override in job.overrides)
        found = {"name": "optuna", "best_params": params, "best_value": values[best]}
        files.write_text(self.sweep / RESULTS, OmegaConf.to_yaml(OmegaConf.create(found)))

    def _report(self) -> None:
        """Compares what is there; a report that cannot be made fails no sweep."""
        from trainer.report.screen import lines  # matplotlib takes half a second
        from trainer.report.write import report

        try:
            written = report([self.sweep])
        except (ValueError, OSError) as error:
            console.say(f"warning: no report: {console.one_line(error)}", sys.stderr)
            return
        console.say("\n" + "\n".join(lines(written)), sys.stdout)
