"""The one schedule with state: reduce the LR when a metric stops improving."""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from trainer.schedules.schedule import Curve, Schedule, require, require_lr
from trainer.schedules.span import Span


@dataclass(slots=True)
class PlateauState:
    """torch's counters, and the updates from which on each reduction is in force.

    With the reductions written down, the LR is a function of the update again: past LRs can be
    recomputed and compared after a resume.
    """

    best: float | None = None
    num_bad_epochs: int = 0
    cooldown_counter: int = 0
    reductions: list[int] = field(default_factory=list[int])


@dataclass(slots=True, kw_only=True)
class Plateau(Schedule):
    """Multiplies the LR by `factor` after more than `patience` epochs without improvement.

    The reduction is in force from the update after the metric was observed. A NaN metric counts
    as a bad epoch and never becomes the best.

    Attributes:
        mode: `min` or `max`: which way the metric improves.
        factor: Multiplier of each reduction, in (0, 1).
        patience: Bad epochs allowed before a reduction, at least 0.
        threshold: Smallest change that counts as better, at least 0.
        threshold_mode: `rel` (share of the best; takes worse for better where the metric is
            negative) or `abs`.
        cooldown: Epochs after a reduction in which bad epochs do not count, at least 0.
        min_lr: LR below which nothing is reduced, absolute, at least 0.
        eps: A reduction by no more than this is left out, at least 0.
        monitor: Name of the metric, as in `metrics.jsonl`; `auto`: the loss (mode min) or the
            accuracy (mode max) of the validation set if there is one, else of the test set.

    Source: torch.optim.lr_scheduler.ReduceLROnPlateau, whose arithmetic it repeats to the bit.
    """

    name: str = "plateau"
    mode: str = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8
    monitor: str = "auto"

    def check(self, key: str) -> None:
        """Raises ValueError for a parameter out of its range."""
        Schedule.check(self, key)
        require(self.mode in ("min", "max"), f"{key}.mode", self.mode, "min or max")
        require(0 < self.factor < 1, f"{key}.factor", self.factor, "in (0, 1)")
        require(self.patience >= 0, f"{key}.patience", self.patience, "at least 0")
        require(self.cooldown >= 0, f"{key}.cooldown", self.cooldown, "at least 0")
        rel_or_abs = self.threshold_mode in ("rel", "abs")
        require(rel_or_abs, f"{key}.threshold_mode", self.threshold_mode, "rel or abs")
        threshold_ok = math.isfinite(self.threshold) and self.threshold >= 0
        require(threshold_ok, f"{key}.threshold", self.threshold, "a finite number, at least 0")
        require_lr(f"{key}.min_lr", self.min_lr)
        require_lr(f"{key}.eps", self.eps)

    def floor(self) -> float:
        """The LR below which nothing is reduced."""
        return self.min_lr

    def curve(self, span: Span, key: str) -> Curve:
        """The base LR, reduced as often as `span.notes.plateau_state` says by then."""
        state = span.notes.plateau_state or PlateauState()
        tracker = PlateauTracker(self, state, span.notes.warmups, key, span.warn)
        tracker.warn_of_sign()
        span.notes.plateau = tracker
        reductions, start = state.reductions, span.start

        def lr(k: int, base_lr: float) -> float:
            value = base_lr
            # a reduction that became due where this stretch starts belongs to the one before
            earlier = bisect_right(reductions, start) if start else 0
            for _ in range(earlier, bisect_right(reductions, start + k)):
                value = self.reduced(value)
            return value

        return lr

    def reduced(self, lr: float) -> float:
        """The LR after one reduction."""
        new = max(lr * self.factor, self.min_lr)
        return new if lr - new > self.eps else lr

    def is_better(self, metric: float, best: float | None) -> bool:
        """Whether `metric` improves on `best` by more than the threshold."""
        if best is None:
            best = math.inf if self.mode == "min" else -math.inf
        if self.mode == "min":
            if self.threshold_mode == "rel":
                return metric < best * (1.0 - self.threshold)
            return metric < best - self.threshold
        if self.threshold_mode == "rel":
            return metric > best * (self.threshold + 1.0)
        return metric > best + self.threshold

    def monitored(self, metrics: Mapping[str, float], key: str = "scheduler") -> float:
        """The metric to observe, out of an epoch's metrics.

        Args:
            metrics: By name.
            key: Where the option stands, for the message.

        Raises:
            ValueError: If it is not among them.
        """
        kind = "loss" if self.mode == "min" else "accuracy"
        names = [f"val/{kind}", f"test/{kind}"] if self.monitor == "auto" else [self.monitor]
        for name in names:
            if name in metrics:
                return metrics[name]
        raise ValueError(
            f"{key}.monitor={self.monitor}: is not among the run's metrics ({', '.join(metrics)})"
        )


@dataclass(slots=True)
class PlateauTracker:
    """Counts the metrics for a plateau somewhere in a schedule.

    Attributes:
        option: The plateau's parameters.
        state: Its counters; `observe` changes them.
        warmups: First and last update of each warm-up; the metrics of its epochs are ignored.
        key: Where the option stands.
        warn: Notes a doubtful setting, once.
    """

    option: Plateau
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
            k: Updates completed, so the next update is `k`.

        Returns:
            Whether a reduction is due from update `k` on; `min_lr` or `eps` may leave it out.
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
