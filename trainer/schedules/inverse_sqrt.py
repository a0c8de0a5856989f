"""Schedules that fall with the square root of the step: inverse_sqrt, noam."""

import math

from trainer.options.marks import at_least
from trainer.schedules.durations import Duration
from trainer.schedules.schedule import Curve, Schedule, schedule
from trainer.schedules.span import Span

DEFAULT_TIMESCALE = 10_000


@schedule("inverse_sqrt")
class InverseSqrt(Schedule):
    """lr(k) = base * sqrt(timescale / (k + timescale)).

    Attributes:
        timescale: Duration after which the LR has fallen by sqrt(2), at least one step; null: the
            length of the warm-up in front, or 10,000 steps without one.

    Source: big_vision's rsqrt schedule; transformers' get_inverse_sqrt_schedule.
    """

    timescale: Duration | None = None

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        if self.timescale is None:
            timescale = span.start or DEFAULT_TIMESCALE
        else:
            timescale = span.length(self.timescale, f"{key}.timescale", least=1)
        return lambda k, base_lr: base_lr / math.sqrt((k + timescale) / timescale)


@schedule("noam")
class Noam(Schedule):
    """lr(k) = base * d_model^-0.5 * min(n^-0.5, n * warmup^-1.5) with n = k + 1.

    Rises linearly over `warmup` steps and falls with the inverse square root. The published
    curve has base 1: set `optimizer.lr=1`. Its peak, at k = warmup - 1, is
    base / sqrt(d_model * warmup).

    Attributes:
        d_model: Width that scales the curve, at least 1.
        warmup: Duration of the rise, at least one step.

    Source: Vaswani et al., Attention Is All You Need, 2017 (arXiv 1706.03762), eq. 3.
    """

    takes_warmup = False

    d_model: int = at_least(1, 512)
    warmup: Duration = "4000 steps"

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        warmup = span.length(self.warmup, f"{key}.warmup", least=1)
        if warmup >= span.updates:
            span.warn(
                f"{key}.warmup={self.warmup}: is {warmup} steps, the run of {span.updates} never "
                "comes to the decay"
            )
        scale = self.d_model**-0.5
        return lambda k, base_lr: base_lr * (scale * min((k + 1) ** -0.5, (k + 1) * warmup**-1.5))
