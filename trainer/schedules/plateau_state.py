"""What a plateau has counted so far: the one state that a schedule has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True)
class PlateauState:
    """torch's counters, and the steps from which on each reduction is in force.

    With the reductions written down, the LR is a function of the step again: past LRs can be
    recomputed and compared after a resume.
    """

    best: float | None = None
    num_bad_epochs: int = 0
    cooldown_counter: int = 0
    reductions: list[int] = field(default_factory=list[int])


class PlateauRule(Protocol):
    """The parameters of a plateau, as its tracker asks for them."""

    patience: int
    cooldown: int
    monitor: str
    threshold: float
    threshold_mode: str

    def is_better(self, metric: float, best: float | None) -> bool:
        """Whether `metric` improves on `best` by more than the threshold."""
        ...

    def monitored(self, metrics: Mapping[str, float], key: str = "scheduler") -> float:
        """The metric to observe, out of an epoch's metrics."""
        ...


@dataclass(slots=True)
class PlateauTracker:
    """Counts the metrics for a plateau somewhere in a schedule.

    Attributes:
        option: The plateau's parameters.
        state: Its counters; `observe` changes them.
        warmups: First and last step of each warm-up; the metrics of its epochs are ignored.
        key: Where the option stands.
        warn: Notes a doubtful setting, once.
    """

    option: PlateauRule
    state: PlateauState
    warmups: list[tuple[int, int]]
    key: str
    warn: Callable[[str], None]

    def warn_of_sign(self) -> None:
        """Warns if a share of the best metric is on its wrong side: no loss of ours is negative."""
        option, best = self.option, self.state.best
        if best is not None and best < 0 < option.threshold and option.threshold_mode == "rel":
            self.warn(
                f"{self.key}.threshold_mode=rel: takes worse for better where the metric is "
                "negative, as this one is; use threshold_mode=abs"
            )

    def observe(self, metric: float, k: int) -> bool:
        """Counts the monitored metric of the epoch that has ended.

        Args:
            metric: Its value; NaN is a bad epoch.
            k: Steps completed, so the next step is `k`.

        Returns:
            Whether a reduction is due from step `k` on; `min_lr` or `eps` may leave it out.
        """
        if any(start < k <= end for start, end in self.warmups):
            return False
        option, state = self.option, self.state
        if option.is_better(metric, state.best):
            state.best = metric
            self.warn_of_sign()
            state.num_bad_epochs = 0
        else:
            state.num_bad_epochs += 1
        if state.cooldown_counter > 0:
            state.cooldown_counter -= 1
            state.num_bad_epochs = 0
        if state.num_bad_epochs <= option.patience:
            return False
        state.reductions.append(k)
        state.cooldown_counter = option.cooldown
        state.num_bad_epochs = 0
        return True
