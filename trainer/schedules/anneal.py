"""Schedules that fall along a curve of a given length: cosine, linear, polynomial, restarts."""

import math

from trainer.options.marks import above, at_least, within
from trainer.options.ranges import require
from trainer.schedules.durations import Duration
from trainer.schedules.schedule import Curve, Schedule, schedule
from trainer.schedules.span import Span


def _length(span: Span, length: Duration | None, key: str) -> int:
    """The curve's length in steps; None: the whole span."""
    if length is None:
        return span.updates
    updates = span.length(length, f"{key}.length", least=1)
    if updates > span.updates:
        span.warn(
            f"{key}.length={length}: is {updates} steps, the run ends after {span.updates} of "
            "them: the decay is cut off before it lands"
        )
    return updates


@schedule("cosine")
class Cosine(Schedule):
    """lr(k) = eta_min + (base - eta_min) * (1 + cos(2 pi num_cycles k / length)) / 2.

    Past `length` the last value holds; torch's and transformers' cosines climb again.

    Attributes:
        eta_min: LR at the bottom of the wave, absolute, at least 0.
        num_cycles: Waves within `length`; 0.5 falls from the base to eta_min once.
        length: Duration of the curve; null: to the end of the run.

    Source: Loshchilov and Hutter, SGDR, 2017 (arXiv 1608.03983), eq. 5, without restarts;
    num_cycles as in transformers' get_cosine_schedule_with_warmup.
    """

    eta_min: float = at_least(0, 0.0)
    num_cycles: float = above(0, 0.5)
    length: Duration | None = None

    def floor(self) -> float:
        """The bottom of the wave."""
        return self.eta_min

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        length = _length(span, self.length, key)
        turn = 2 * math.pi * self.num_cycles

        def lr(k: int, base_lr: float) -> float:
            wave = 0.5 * (1 + math.cos(turn * (min(k, length) / length)))
            return self.eta_min + (base_lr - self.eta_min) * wave

        return lr


@schedule("cosine_restarts")
class CosineRestarts(Schedule):
    """Cosine waves that each fall from a peak to eta_min and start anew.

    Within a cycle of T steps, j steps after its start:
    lr = eta_min + (peak - eta_min) * (1 + cos(pi j / T)) / 2, with peak = base * peak_decay^cycle
    (never below eta_min). A restart's first step has the peak exactly; cycles are counted in
    integers, so no restart is missed or doubled.

    Attributes:
        num_cycles: Number of equal cycles in the run, after which eta_min holds. 3 if neither this
            nor t_0 is given.
        t_0: Duration of the first cycle, instead of num_cycles; cycles then go on without end.
        t_mult: Factor, a whole number of at least 1, from a cycle's length to the next one's.
        eta_min: LR at the bottom of each cycle, absolute, at least 0.
        peak_decay: Factor from a peak to the next one, in (0, 1].

    Source: Loshchilov and Hutter, SGDR, 2017 (arXiv 1608.03983), eq. 5 and section 4;
    torch.optim.lr_scheduler.CosineAnnealingWarmRestarts (t_0, t_mult); transformers'
    get_cosine_with_hard_restarts_schedule_with_warmup (num_cycles).
    """

    num_cycles: int | None = at_least(1, None)
    t_0: Duration | None = None
    t_mult: int = at_least(1, 1)
    eta_min: float = at_least(0, 0.0)
    peak_decay: float = within(0, 1, 1.0, "(]")

    def check(self, key: str) -> None:
        """Raises ValueError for a parameter out of its range, or num_cycles beside t_0."""
        Schedule.check(self, key)
        if self.num_cycles is not None:
            require(self.t_0 is None, f"{key}.num_cycles", self.num_cycles, "null beside t_0")
        if self.t_0 is None:
            require(self.t_mult == 1, f"{key}.t_mult", self.t_mult, "1 unless t_0 is given")

    def floor(self) -> float:
        """The bottom of the waves."""
        return self.eta_min

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        if self.t_0 is None:
            cycles, updates = self.num_cycles or 3, span.updates

            def place(k: int) -> tuple[int, float]:
                if k >= updates:
                    return cycles - 1, 1.0
                cycle, done = divmod(k * cycles, updates)
                return cycle, done / updates

        else:
            first, factor = span.length(self.t_0, f"{key}.t_0", least=1), self.t_mult

            def place(k: int) -> tuple[int, float]:
                if factor == 1:
                    return k // first, k % first / first
                cycle, length = 0, first
                while k >= length:
                    k, cycle, length = k - length, cycle + 1, length * factor
                return cycle, k / length

            if place(span.updates)[1]:
                span.warn(f"{key}.t_0={self.t_0}: the run ends within a cycle, above the bottom")

        def lr(k: int, base_lr: float) -> float:
            cycle, progress = place(k)
            peak = max(base_lr * self.peak_decay**cycle, self.eta_min)
            wave = 0.5 * (1 + math.cos(math.pi * progress))
            return self.eta_min + (peak - self.eta_min) * wave

        return lr


@schedule("linear")
class Linear(Schedule):
    """lr(k) = base * (start_factor + (end_factor - start_factor) * k / length).

    From step `length` on it is end_factor * base.

    Attributes:
        start_factor: Share of the base LR at step 0, at least 0.
        end_factor: Share of the base LR at the end, at least 0.
        length: Duration of the line; null: to the end of the run.

    Source: torch.optim.lr_scheduler.LinearLR; with the defaults, transformers'
    get_linear_schedule_with_warmup after its warm-up.
    """

    start_factor: float = at_least(0, 1.0)
    end_factor: float = at_least(0, 0.0)
    length: Duration | None = None

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        length = _length(span, self.length, key)
        start, end = self.start_factor, self.end_factor
        return lambda k, base_lr: base_lr * (start + (end - start) * (min(k, length) / length))


@schedule("polynomial")
class Polynomial(Schedule):
    """lr(k) = lr_end + (base - lr_end) * (1 - k / length)^power.

    From step `length` on it is lr_end.

    Attributes:
        power: Above 0; 1 is a straight line.
        lr_end: LR at the end, absolute, at least 0.
        length: Duration of the curve; null: to the end of the run.

    Source: torch.optim.lr_scheduler.PolynomialLR (lr_end 0); transformers'
    get_polynomial_decay_schedule_with_warmup after its warm-up.
    """

    power: float = above(0, 1.0)
    lr_end: float = at_least(0, 1e-7)
    length: Duration | None = None

    def floor(self) -> float:
        """The LR at the end."""
        return self.lr_end

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        length = _length(span, self.length, key)

        def lr(k: int, base_lr: float) -> float:
            left = 1 - min(k, length) / length
            return self.lr_end + (base_lr - self.lr_end) * left**self.power

        return lr
