"""Warm-up: one wrapper in front of any schedule."""

import math
from collections.abc import Callable

from omegaconf import MISSING

from trainer.options.marks import one_of, within
from trainer.options.ranges import require
from trainer.schedules.durations import Duration
from trainer.schedules.schedule import Curve, Schedule, refuse_momentum, schedule
from trainer.schedules.span import Span

# The factor at x = k / W in [0, 1), given the factor at x = 0.
SHAPES: dict[str, Callable[[float, float], float]] = {
    "linear": lambda x, start: start + (1 - start) * x,
    "cosine": lambda x, start: start + (1 - start) * 0.5 * (1 - math.cos(math.pi * x)),
    "exponential": lambda x, start: start ** (1 - x),
    "constant": lambda x, start: start,
}


@schedule("warmup")
class Warmup(Schedule):
    """Raises the LR from start_factor * base at step 0 to the base at step W, then `after`.

    With W = `warmup` in steps and x = k / W, the factor of the linear shape is
    start_factor + (1 - start_factor) x. Step W itself always has exactly the base LR. W = 0 is
    exactly the inner schedule; a warm-up not shorter than the run is an error.

    Attributes:
        warmup: Duration W of the ramp.
        start_factor: Share of the base LR at step 0, in [0, 1] (above 0 if exponential).
        shape: `linear`, `cosine`, `exponential`, or `constant` (start_factor until W).
        clock: `after`: the inner schedule has its own step 0 at W and the remaining length.
            `absolute`: it counts from the start of the run.
        after: The inner schedule.

    Source: Goyal et al., Accurate, Large Minibatch SGD, 2017 (arXiv 1706.02677), section 2.2.
    """

    takes_warmup = False

    warmup: Duration = "10%"
    start_factor: float = within(0, 1, 0.025)
    shape: str = one_of(tuple(SHAPES), "linear")
    clock: str = one_of(("after", "absolute"), "after")
    after: Schedule = MISSING

    def check(self, key: str) -> None:
        """Raises ValueError for a parameter out of its range, here or in the inner schedule."""
        Schedule.check(self, key)
        if self.shape == "exponential":
            positive = self.start_factor > 0
            require(positive, f"{key}.start_factor", self.start_factor, "above 0 if exponential")
        self.after.check(f"{key}.after")
        if self.after.interval != "step":
            raise ValueError(
                f"{key}.after.interval={self.after.interval}: is set on the outermost schedule; "
                f"use {key}.interval"
            )

    def inner(self) -> Schedule:
        """The schedule after the warm-up."""
        return self.after

    def floor(self) -> float:
        """The LR that the inner schedule decays to."""
        return self.after.floor()

    def curve(self, span: Span, key: str) -> Curve:
        """The ramp up to step W, the inner schedule behind it."""
        warmup = span.length(self.warmup, f"{key}.warmup")
        if warmup >= span.updates:
            raise ValueError(
                f"{key}.warmup={self.warmup}: is {warmup} steps, must be shorter than the run "
                f"of {span.updates}"
            )
        shift = warmup if self.clock == "after" else 0
        after = self.after.curve(span.after(shift), f"{key}.after")
        refuse_momentum(span, f"{key}.after")
        if warmup == 0:
            return after
        span.notes.warmups.append((span.start, span.start + warmup))
        shape, start = SHAPES[self.shape], self.start_factor

        def lr(k: int, base_lr: float) -> float:
            if k < warmup:
                return base_lr * shape(k / warmup, start)
            return base_lr if k == warmup else after(k - shift, base_lr)

        return lr
