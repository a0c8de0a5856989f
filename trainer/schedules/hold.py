"""Schedules with a level stretch before the decay: wsd, hold_linear."""

import math
from collections.abc import Callable

from trainer.options.marks import one_of, within
from trainer.options.ranges import require
from trainer.schedules.durations import Duration
from trainer.schedules.schedule import Curve, Schedule, schedule
from trainer.schedules.span import Span

# Shares of the way from the floor to the base LR at progress x in [0, 1].
RISES: dict[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "cosine": lambda x: 0.5 * (1 - math.cos(math.pi * x)),
    "1-sqrt": lambda x: 1 - math.sqrt(1 - x),
}
FALLS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: 1 - x,
    "cosine": lambda x: 0.5 * (1 + math.cos(math.pi * x)),
    "1-sqrt": lambda x: 1 - math.sqrt(x),
}


@schedule("wsd")
class WSD(Schedule):
    """Warm-up, stable, decay: from the floor to the base LR, level, and back to the floor.

    The floor is min_factor * base. The warm-up begins at the floor, its first step included; the
    base is reached at step `warmup`; the floor at warmup + stable + decay, and holds from there.

    Attributes:
        warmup: Duration of the rise; may be 0.
        stable: Duration of the level part; null: what the other two leave of the run.
        decay: Duration of the fall, at least one step.
        warmup_shape: `linear`, `cosine` or `1-sqrt`.
        decay_shape: `linear`, `cosine` or `1-sqrt`.
        min_factor: The floor as a share of the base LR, in [0, 1].

    Source: Hu et al., MiniCPM, 2024 (arXiv 2404.06395), section 4.2; 1-sqrt from Haegele et al.,
    2024 (arXiv 2405.18392), eq. 1; transformers' get_wsd_schedule.
    """

    takes_warmup = False

    warmup: Duration = "10%"
    stable: Duration | None = None
    decay: Duration = "20%"
    warmup_shape: str = one_of(tuple(RISES), "linear")
    decay_shape: str = one_of(tuple(FALLS), "linear")
    min_factor: float = within(0, 1, 0.0)

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        warmup = span.length(self.warmup, f"{key}.warmup")
        decay = span.length(self.decay, f"{key}.decay", least=1)
        if self.stable is None:
            stable = span.updates - warmup - decay
            require(stable >= 0, f"{key}.decay", self.decay, "no longer than the warm-up leaves")
        else:
            stable = span.length(self.stable, f"{key}.stable")
        top, end = warmup + stable, warmup + stable + decay
        if end > span.updates:
            span.warn(
                f"{key}.decay={self.decay}: the floor is due at step {end}, the run ends at "
                f"{span.updates}: the decay is cut off before it lands"
            )
        rise, fall, floor = RISES[self.warmup_shape], FALLS[self.decay_shape], self.min_factor

        def lr(k: int, base_lr: float) -> float:
            if k < warmup:
                return base_lr * (rise(k / warmup) * (1 - floor) + floor)
            if k < top:
                return base_lr
            if k < end:
                return base_lr * (fall((k - top) / decay) * (1 - floor) + floor)
            return base_lr * floor

        return lr


@schedule("hold_linear")
class HoldLinear(Schedule):
    """The base LR for `hold`, then a line to zero over `decay`.

    Counted in epochs e as the original does: 1 for e < hold, then
    1 - (e + 1 - hold) / (decay + 1), so the first epoch of the decay is already below the base and
    the epoch after the last would have 0. Between whole epochs the line goes on; past its end the
    LR stays 0, where the original turns negative.

    Attributes:
        hold: Duration at the base LR; null: half of the run.
        decay: Duration of the line, at least one step; null: the rest of the run.

    Source: pytorch-CycleGAN-and-pix2pix, models/networks.py, lr_policy "linear".
    """

    takes_warmup = False

    hold: Duration | None = None
    decay: Duration | None = None

    def curve(self, span: Span, key: str) -> Curve:
        """The closed form over whole steps."""
        hold = span.length("50%" if self.hold is None else self.hold, f"{key}.hold")
        if self.decay is None:
            decay = span.updates - hold
            require(decay >= 1, f"{key}.hold", self.hold, "shorter than the run")
        else:
            decay = span.length(self.decay, f"{key}.decay", least=1)
        if hold + decay > span.updates:
            span.warn(
                f"{key}.decay={self.decay}: ends at step {hold + decay}, the run at "
                f"{span.updates}: the decay is cut off before it lands"
            )
        epoch = span.steps_per_epoch

        def lr(k: int, base_lr: float) -> float:
            if k < hold:
                return base_lr
            return base_lr * max(0.0, 1 - (k + epoch - hold) / (decay + epoch))

        return lr
