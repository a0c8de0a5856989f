"""Runs that differ in their seed only, and what they come to together."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from trainer.report.runs import Run
from trainer.report.statistics import Estimate, estimate

Metric = Callable[[Run], float | None]


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one configuration.

    Attributes:
        label: What sets it apart from the others.
        runs: All of them.
        settings: What it does not share with all others, `key=value`.
        split: What is evaluated, `test` or `val`.
    """

    label: str
    runs: list[Run]
    settings: list[str]
    split: str

    @property
    def finished(self) -> list[Run]:
        """The runs that count."""
        return [run for run in self.runs if run.finished]

    @property
    def seeds(self) -> int:
        """Seeds with a finished run."""
        return len(self.by_seed(lambda run: run.final))

    def by_seed(self, metric: Metric) -> dict[int | str, float]:
        """One value per seed; repeated runs of a seed are one, their mean.

        Repeats share initial weights and order: counted apart they would make the spread look
        smaller than it is.
        """
        values: dict[int | str, list[float]] = defaultdict(list)
        for run in self.finished:
            if (value := metric(run)) is not None:
                values[run.seed].append(value)
        return {seed: fmean(found) for seed, found in values.items()}

    def estimate(self, metric: Metric) -> Estimate | None:
        """Mean and spread over the seeds; None if none of them has a value."""
        values = list(self.by_seed(metric).values())
        return estimate(values) if values else None

    @property
    def final(self) -> Estimate | None:
        """The value after the last epoch, over the seeds."""
        return self.estimate(lambda run: run.final)

    @property
    def lengths(self) -> set[tuple[int, int]]:
        """Epochs and steps of its finished runs."""
        return {(run.epochs, run.updates) for run in self.finished}

    @property
    def repeated(self) -> int:
        """Finished runs beyond the first of each seed."""
        return len(self.finished) - self.seeds
