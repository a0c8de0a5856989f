"""What a sweep says: a line as a job begins and ends, how far it is, and what it came to."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from trainer.cli import console
from trainer.storage import files
from trainer.sweep.jobs import AS_ASKED, Job, Listed, State, state

if TYPE_CHECKING:
    from trainer.sweep.search import Search

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
        self, sweep: Path, source: "Listed | Search", at_once: int = 1, direction: str | None = None
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
        over = sum(found.status in (*AS_ASKED, "failed") for found in self.ended.values())
        filled = WIDTH * over // self.source.total
        line = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {self.title(job)}"
        if self._took and over < self.source.total:
            left = sum(self._took) / len(self._took) * (self.source.total - over)
            line += f", about {console.duration(left / self.at_once)} left"
        return line

    def skip(self, job: Job) -> None:
        """A job is done, and was before."""
        self.ended[job.number] = state(self.sweep / job.folder)
        self.source.tell(job, self.ended[job.number])
        console.say(f"{self.title(job)}: done before", sys.stdout)

    def begin(self, job: Job) -> None:
        """A job begins."""
        self._begun[job.number] = time.monotonic()
        console.say(self.head(job), sys.stdout)

    def end(self, job: Job, ended: State) -> None:
        """A job has ended."""
        self.ended[job.number] = ended
        self.source.tell(job, ended)
        begun, now = self._begun.get(job.number), time.monotonic()
        if ended.status in AS_ASKED and begun is not None:
            self._took.append(now - begun)
        text = f"{self.head(job)}: {ended.status}"
        if ended.status in AS_ASKED and ended.value is not None:
            text += f", best {ended.value:.4f}"
            text += f", {console.duration(now - begun)}" if begun is not None else ""
        console.say(text if ended.error is None else f"{text}: {ended.error}", sys.stdout)

    def sum_up(self) -> int:
        """Prints what the sweep came to; returns its exit code: 0 if each is done or paused."""
        pairs = [
            (job, self.ended.get(job.number) or state(self.sweep / job.folder))
            for job in self.source.jobs
        ]
        done = [(job, found) for job, found in pairs if found.status == "done"]
        if self.direction is not None:
            self._say_best(done)
        total = self.source.total
        console.say(f"sweep: {len(done)} of {total} jobs done; {self.sweep}", sys.stdout)
        for job, found in pairs:
            if found.status != "done":
                line = f"  {found.status}: job {job.number} ({' '.join(job.overrides)})"
                line += f": {found.error}" if found.error else ""
                console.say(line, sys.stdout)
        came = [found for _, found in pairs if found.status in AS_ASKED]
        if came:
            self._report()
        if len(came) == total:
            return 0
        retry = f"  python -m trainer.sweep retry {self.sweep}   runs what is not done"
        console.say(retry, sys.stdout)
        return 1

    def _say_best(self, done: list[tuple[Job, State]]) -> None:
        """Names the job with the best value, and writes it down as Hydra's searches do."""
        values = [(found.value, job) for job, found in done if found.value is not None]
        if values:
            choose = min if self.direction == "minimize" else max
            value, job = choose(values, key=lambda pair: pair[0])
            console.say(f"best: {self.title(job)}: {value:g}", sys.stdout)
            params = dict(override.split("=", 1) for override in job.overrides)
            found = {"name": "optuna", "best_params": params, "best_value": value}
            files.write_text(self.sweep / RESULTS, OmegaConf.to_yaml(OmegaConf.create(found)))

    def _report(self) -> None:
        """Compares what is there; a report that cannot be made fails no sweep."""
        from trainer.report.write import report  # matplotlib takes half a second

        try:
            written = report([self.sweep])
        except (ValueError, OSError) as error:
            console.say(f"warning: no report: {console.one_line(error)}", sys.stderr)
            return
        console.say("\n" + "\n".join(written.lines()), sys.stdout)
