"""The one schedule with state: reduce the LR when a metric stops improving."""

import math
from bisect import bisect_right
from collections.abc import Mapping

from trainer.options.marks import at_least, one_of, within
from trainer.schedules.plateau_state import PlateauState, PlateauTracker
from trainer.schedules.schedule import Curve, Schedule, schedule
from trainer.schedules.span import Span


@schedule("plateau")
class Plateau(Schedule):
    """Multiplies the LR by `factor` after more than `patience` epochs without improvement.

    The reduction is in force from the step after the metric was observed. A NaN metric counts
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

    mode: str = one_of(("min", "max"), "min")
    factor: float = within(0, 1, 0.1, "()")
    patience: int = at_least(0, 10)
    threshold: float = at_least(0, 1e-4)
    threshold_mode: str = one_of(("rel", "abs"), "rel")
    cooldown: int = at_least(0, 0)
    min_lr: float = at_least(0, 0.0)
    eps: float = at_least(0, 1e-8)
    monitor: str = "auto"

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
