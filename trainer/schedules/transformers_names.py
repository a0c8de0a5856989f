"""Schedules under transformers' names, for loops that were written for it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from trainer.options.ranges import require
from trainer.schedules.anneal import Cosine, CosineRestarts, Linear, Polynomial
from trainer.schedules.decay import Constant
from trainer.schedules.hold import WSD
from trainer.schedules.inverse_sqrt import InverseSqrt
from trainer.schedules.lr_schedule import LRSchedule
from trainer.schedules.plateau import Plateau
from trainer.schedules.schedule import Curve, Schedule
from trainer.schedules.span import Span
from trainer.schedules.warmup import Warmup


def get_scheduler(
    name: str,
    optimizer: Optimizer,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    scheduler_specific_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> LRSchedule:
    """A schedule by transformers' name, stepped once per update, with transformers' values.

    Up to the last update the values are transformers' own; past it the last one holds, where
    theirs may climb. `min_lr` and `lr_end` are reached by every parameter group, where theirs
    scale with the group's LR. A warm-up must be shorter than the training.

    Args:
        name: linear, cosine, cosine_with_restarts, polynomial, constant, constant_with_warmup,
            inverse_sqrt, reduce_lr_on_plateau, cosine_with_min_lr, cosine_warmup_with_min_lr or
            warmup_stable_decay.
        optimizer: Its groups' LRs are the peaks.
        num_warmup_steps: Updates of linear warm-up from 0.
        num_training_steps: Updates of the whole training.
        scheduler_specific_kwargs: Further parameters, as transformers takes them.
        kwargs: The same, given directly.

    Raises:
        ValueError: For an unknown name or an impossible value.
        TypeError: For a parameter that the schedule does not have.

    Source: transformers.get_scheduler.
    """
    name = str(getattr(name, "value", name))
    parameters = (scheduler_specific_kwargs or {}) | kwargs
    if name == "greedy":
        raise ValueError(
            "greedy: raises the LR from the loss by trial; use plateau, or transformers"
        )
    if name not in BUILDERS:
        raise ValueError(f"{name}: must be one of {', '.join(BUILDERS)}")
    builder, needs = BUILDERS[name]
    for key, value in (
        ("num_warmup_steps", num_warmup_steps),
        ("num_training_steps", num_training_steps),
    ):
        if key in needs and value is None:
            raise ValueError(f"{name} requires {key}")
    warmup = num_warmup_steps or 0
    length = num_training_steps or warmup + 1
    option = builder(warmup, length, **parameters)
    return LRSchedule(optimizer, option, steps_per_epoch=1, epochs=length)


def _warm(warmup: int, after: Schedule) -> Schedule:
    return Warmup(warmup=f"{warmup} steps", start_factor=0.0, after=after)


def _constant(warmup: int, length: int, **ignored: object) -> Schedule:
    return Constant()  # transformers ignores every parameter here


def _constant_with_warmup(warmup: int, length: int) -> Schedule:
    return _warm(warmup, Constant())


def _linear(warmup: int, length: int) -> Schedule:
    return _warm(warmup, Linear())


def _cosine(warmup: int, length: int, *, num_cycles: float = 0.5) -> Schedule:
    return _warm(warmup, Cosine(num_cycles=num_cycles))


def _restarts(warmup: int, length: int, *, num_cycles: int = 1) -> Schedule:
    return _warm(warmup, CosineRestarts(num_cycles=num_cycles))


def _polynomial(warmup: int, length: int, *, lr_end: float = 1e-7, power: float = 1.0) -> Schedule:
    return _warm(warmup, Polynomial(lr_end=lr_end, power=power))


def _inverse_sqrt(warmup: int, length: int, *, timescale: int | None = None) -> Schedule:
    option = InverseSqrt(timescale=None if timescale is None else f"{timescale} steps")
    return _warm(warmup, option)


def _plateau(warmup: int, length: int, **parameters: Any) -> Schedule:
    return Plateau(**parameters)


def _min_lr(
    warmup: int,
    length: int,
    *,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
) -> Schedule:
    _one_floor(min_lr, min_lr_rate)
    if min_lr is not None:
        return _warm(warmup, Cosine(num_cycles=num_cycles, eta_min=min_lr))
    return _warm(warmup, _RateCosine(num_cycles=num_cycles, min_lr_rate=min_lr_rate or 0.0))


def _early_min_lr(
    warmup: int,
    length: int,
    *,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
) -> Schedule:
    _one_floor(min_lr, min_lr_rate)
    return _EarlyCosine(
        warmup=warmup,
        num_cycles=num_cycles,
        min_lr=min_lr,
        min_lr_rate=min_lr_rate or 0.0,
        warmup_lr_rate=warmup_lr_rate,
    )


def _wsd(
    warmup: int,
    length: int,
    *,
    num_decay_steps: int,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0.0,
    num_cycles: float = 0.5,
) -> Schedule:
    if num_cycles != 0.5:
        raise ValueError(f"num_cycles={num_cycles}: a decay of several waves is not supported")
    stable = length - warmup - num_decay_steps if num_stable_steps is None else num_stable_steps
    return WSD(
        warmup=f"{warmup} steps",
        stable=f"{stable} steps",
        decay=f"{num_decay_steps} steps",
        warmup_shape=warmup_type,
        decay_shape=decay_type,
        min_factor=min_lr_ratio,
    )


BOTH = ("num_warmup_steps", "num_training_steps")
BUILDERS: dict[str, tuple[Callable[..., Schedule], tuple[str, ...]]] = {
    "linear": (_linear, BOTH),
    "cosine": (_cosine, BOTH),
    "cosine_with_restarts": (_restarts, BOTH),
    "polynomial": (_polynomial, BOTH),
    "constant": (_constant, ()),
    "constant_with_warmup": (_constant_with_warmup, BOTH[:1]),
    "inverse_sqrt": (_inverse_sqrt, BOTH[:1]),
    "reduce_lr_on_plateau": (_plateau, ()),
    "cosine_with_min_lr": (_min_lr, BOTH),
    "cosine_warmup_with_min_lr": (_early_min_lr, BOTH),
    "warmup_stable_decay": (_wsd, BOTH[:1]),
}


def _one_floor(min_lr: float | None, min_lr_rate: float | None) -> None:
    if (min_lr is None) == (min_lr_rate is None):
        raise ValueError("give one of min_lr and min_lr_rate")


@dataclass(slots=True, kw_only=True)
class _RateCosine(Schedule):
    """A cosine whose floor is a share of each group's base LR."""

    name: str = "cosine_with_min_lr_rate"
    num_cycles: float = 0.5
    min_lr_rate: float = 0.0

    def curve(self, span: Span, key: str) -> Curve:
        updates, turn, rate = span.updates, 2 * math.pi * self.num_cycles, self.min_lr_rate

        def lr(k: int, base_lr: float) -> float:
            wave = 0.5 * (1 + math.cos(turn * (min(k, updates) / updates)))
            return base_lr * max(0.0, wave * (1 - rate) + rate)

        return lr


@dataclass(slots=True, kw_only=True)
class _EarlyCosine(Schedule):
    """A warm-up and cosine counted from n = k + 1: no update at 0, the floor at the last one."""

    name: str = "cosine_warmup_with_min_lr"
    warmup: int = 0
    num_cycles: float = 0.5
    min_lr: float | None = None
    min_lr_rate: float = 0.0
    warmup_lr_rate: float | None = None

    def check(self, key: str) -> None:
        Schedule.check(self, key)
        require(self.warmup >= 0, "num_warmup_steps", self.warmup, "at least 0")

    def curve(self, span: Span, key: str) -> Curve:
        warmup, last = self.warmup, span.updates - 1
        if warmup > last:
            raise ValueError(f"num_warmup_steps={warmup}: must be below {span.updates}")
        turn, first = 2 * math.pi * self.num_cycles, self.warmup_lr_rate

        def lr(k: int, base_lr: float) -> float:
            if k < warmup:
                if first is None:
                    return base_lr * (k + 1) / warmup
                return base_lr * (first + (1 - first) * k / max(1, warmup - 1))
            rate = self.min_lr_rate if self.min_lr is None else self.min_lr / base_lr
            progress = (min(k, last) - warmup + 1) / (span.updates - warmup)
            wave = 0.5 * (1 + math.cos(turn * progress))
            return base_lr * max(0.0, wave * (1 - rate) + rate)

        return lr
