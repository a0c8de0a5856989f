"""transformers' own formulas, for the numbers that no option of ours takes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trainer.schedules.hold import FALLS, RISES
from trainer.schedules.schedule import Curve, Schedule
from trainer.schedules.span import Span


@dataclass(slots=True, kw_only=True)
class TransformersFormula(Schedule):
    """Fractions of a step, a warm-up beyond the end, a negative power: what theirs makes of it.

    Attributes:
        kind: transformers' name of the schedule.
        warmup: Its num_warmup_steps.
        length: Its num_training_steps; null: none were given.
        parameters: Its further parameters, as they were given.

    Source: transformers' optimization.py.
    """

    name: str = "transformers"
    kind: str = "linear"
    warmup: float = 0
    length: float | None = None
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])

    def curve(self, span: Span, key: str) -> Curve:
        """Their formula; past the end the cosines hold their last value."""
        share, early = SHARES[self.kind], self.kind in OWN_WARMUP
        warmup, length, parameters = self.warmup, self.length, self.parameters

        def lr(k: int, base_lr: float) -> float:
            if k < warmup and not early:
                return base_lr * (k / max(1, warmup))
            return base_lr * share(k, base_lr, warmup, length, **parameters)

        return lr


def _progress(k: int, warmup: float, length: float) -> float:
    return max(0.0, (min(k, max(length, 0)) - warmup) / max(1, length - warmup))


def _wave(turns: float) -> float:
    return 0.5 * (1 + math.cos(2 * math.pi * turns))


def _above(floor: float, share: float) -> float:
    return max(0.0, share * (1 - floor) + floor)


def _constant(k: int, base: float, warmup: float, length: float | None) -> float:
    return 1.0


def _linear(k: int, base: float, warmup: float, length: float) -> float:
    return max(0.0, (length - k) / max(1, length - warmup))


def _restarts(k: int, base: float, warmup: float, length: float, *, num_cycles: float = 1) -> float:
    progress = _progress(k, warmup, length)
    return 0.0 if progress >= 1 else _wave(num_cycles * progress % 1 / 2)


def _polynomial(
    k: int,
    base: float,
    warmup: float,
    length: float,
    *,
    lr_end: float = 1e-7,
    power: float = 1.0,
) -> float:
    if k > length:
        return lr_end / base
    left = 1 - (k - warmup) / (length - warmup)
    return ((base - lr_end) * left**power + lr_end) / base


def _inverse_sqrt(
    k: int, base: float, warmup: float, length: float | None, *, timescale: float | None = None
) -> float:
    scale = (warmup or 10_000) if timescale is None else timescale
    return 1 / math.sqrt((k + scale - warmup) / scale)


def _cosine(
    k: int,
    base: float,
    warmup: float,
    length: float,
    *,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
) -> float:
    rate = (min_lr_rate or 0.0) if min_lr is None else min_lr / base
    return _above(rate, _wave(num_cycles * _progress(k, warmup, length)))


def _early_cosine(
    k: int,
    base: float,
    warmup: float,
    length: float,
    *,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
) -> float:
    if k < warmup:
        if warmup_lr_rate is None:
            return (k + 1) / max(1, warmup)
        return warmup_lr_rate + (1 - warmup_lr_rate) * k / max(1, warmup - 1)
    rate = (min_lr_rate or 0.0) if min_lr is None else min_lr / base
    n = min(k, max(math.ceil(length) - 1, 0)) + 1
    return _above(rate, _wave(num_cycles * (n - warmup) / max(1, length - warmup)))


def _wsd(
    k: int,
    base: float,
    warmup: float,
    length: float,
    *,
    num_decay_steps: float,
    num_stable_steps: float | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0.0,
    num_cycles: float = 0.5,
) -> float:
    decay, stable = num_decay_steps, num_stable_steps
    top = warmup + (length - warmup - decay if stable is None else stable)
    if k < warmup:
        share = RISES[warmup_type](k / max(1, warmup))
    elif k < top:
        return 1.0
    elif k < top + decay:
        done = (k - top) / max(1, decay)
        share = _wave(num_cycles * done) if decay_type == "cosine" else FALLS[decay_type](done)
    else:
        return min_lr_ratio
    return _above(min_lr_ratio, share)


OWN_WARMUP = ("cosine_warmup_with_min_lr", "warmup_stable_decay")
# The share of the base LR: share(k, base, warmup, length, **parameters).
SHARES: dict[str, Callable[..., float]] = {
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _restarts,
    "polynomial": _polynomial,
    "constant_with_warmup": _constant,
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _cosine,
    "cosine_warmup_with_min_lr": _early_cosine,
    "warmup_stable_decay": _wsd,
}
