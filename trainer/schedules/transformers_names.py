"""Schedules under transformers' names, for loops that were written for it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from trainer.options.ranges import require
from trainer.schedules.anneal import Cosine, CosineRestarts, Linear, Polynomial
from trainer.schedules.decay import Constant
from trainer.schedules.hold import FALLS, RISES, WSD
from trainer.schedules.inverse_sqrt import InverseSqrt
from trainer.schedules.lr_schedule import LRSchedule
from trainer.schedules.plateau import Plateau
from trainer.schedules.schedule import Curve, Schedule
from trainer.schedules.span import Span
from trainer.schedules.transformers_formulas import TransformersFormula
from trainer.schedules.warmup import Warmup


def get_scheduler(
    name: str,
    optimizer: Optimizer,
    num_warmup_steps: float | None = None,
    num_training_steps: float | None = None,
    scheduler_specific_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> LRSchedule:
    """A schedule by transformers' name, stepped once per step, with transformers' values.

    Up to the last step the values are transformers' own, and what it refuses is refused; past
    that step the last one holds, where theirs may climb. `min_lr` and `lr_end` are reached by
    every parameter group, where theirs scale with the group's LR.

    Args:
        name: linear, cosine, cosine_with_restarts, polynomial, constant, constant_with_warmup,
            inverse_sqrt, reduce_lr_on_plateau, cosine_with_min_lr, cosine_warmup_with_min_lr or
            warmup_stable_decay.
        optimizer: Its groups' LRs are the peaks.
        num_warmup_steps: Steps of linear warm-up from 0; may be a fraction.
        num_training_steps: Steps of the whole training; may be a fraction.
        scheduler_specific_kwargs: Further parameters, as transformers takes them.
        kwargs: The same, given directly.

    Raises:
        ValueError: For an unknown name or an impossible value.
        TypeError: For a parameter that the schedule does not have.
        KeyError: If `last_epoch` is given and a group has no `initial_lr`.

    Source: transformers.get_scheduler.
    """
    name = str(getattr(name, "value", name))
    parameters = {} if name in IGNORING else (scheduler_specific_kwargs or {}) | kwargs
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
    warmup, length = _count("num_warmup_steps", num_warmup_steps or 0), num_training_steps
    if length is not None:
        length = _count("num_training_steps", length)
    updates = max(1, math.ceil(warmup + 1 if length is None else length))
    done = parameters.pop("last_epoch", -1) + 1 if needs else 0
    if done and any("initial_lr" not in group for group in optimizer.param_groups):
        raise KeyError(f"last_epoch={done - 1}: needs the initial_lr of every parameter group")
    if name == "polynomial":
        peak, lr_end = float(optimizer.defaults["lr"]), parameters.get("lr_end", 1e-7)
        require(peak > lr_end, "lr_end", lr_end, f"below the LR, {peak:g}")
    option = builder(int(warmup), None if length is None else int(length), **parameters)
    whole = isinstance(warmup, int) and length in (None, updates)
    if option is None or (needs and not (whole and _fits(option, updates))):
        option = TransformersFormula(kind=name, warmup=warmup, length=length, parameters=parameters)
    schedule = LRSchedule(optimizer, option, steps_per_epoch=1, epochs=updates)
    for _ in range(done):
        schedule.step()
    return schedule


def _count(key: str, steps: float) -> float:
    """A number of steps: whole if it can be."""
    require(math.isfinite(steps), key, steps, "finite")
    return int(steps) if steps == int(steps) else float(steps)


def _fits(option: Schedule, updates: int) -> bool:
    """Whether an option takes its values, of which transformers refuses next to none."""
    try:
        option.resolve(1, updates)
    except ValueError:
        return False
    return True


def _warm(warmup: int, after: Schedule) -> Schedule:
    return Warmup(warmup=f"{warmup} steps", start_factor=0.0, after=after)


def _constant(warmup: int, length: int) -> Schedule:
    return Constant()


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


def _inverse_sqrt(warmup: int, length: int, *, timescale: float | None = None) -> Schedule:
    if timescale is not None:
        timescale = _count("timescale", timescale)
    option = InverseSqrt(timescale=None if timescale is None else f"{timescale} steps")
    return _warm(warmup, option)


def _plateau(
    warmup: int, length: int | None, *, min_lr: float | list[float] = 0.0, **parameters: Any
) -> Schedule:
    floors = [*min_lr] if isinstance(min_lr, list | tuple) else [min_lr]
    require(len(set(floors)) == 1, "min_lr", min_lr, "the same for all parameter groups")
    option = _Plateau(min_lr=floors[0], **parameters)
    require(option.mode in ("min", "max"), "mode", option.mode, "min or max")
    rel_or_abs = option.threshold_mode in ("rel", "abs")
    require(rel_or_abs, "threshold_mode", option.threshold_mode, "rel or abs")
    require(option.factor < 1, "factor", option.factor, "below 1")
    return option


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
    length: int | None,
    *,
    num_decay_steps: float,
    num_stable_steps: float | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0.0,
    num_cycles: float = 0.5,
) -> Schedule | None:
    require(warmup_type in RISES, "warmup_type", warmup_type, f"one of {', '.join(RISES)}")
    require(decay_type in FALLS, "decay_type", decay_type, f"one of {', '.join(FALLS)}")
    if num_stable_steps is None and length is None:
        raise ValueError("give one of num_training_steps and num_stable_steps")
    decay, stable = _count("num_decay_steps", num_decay_steps), num_stable_steps
    if stable is None:
        stable = (length or 0) - warmup - decay
    if decay_type == "cosine" and num_cycles != 0.5:
        return None  # ours falls once
    return WSD(
        warmup=f"{warmup} steps",
        stable=f"{_count('num_stable_steps', stable)} steps",
        decay=f"{decay} steps",
        warmup_shape=warmup_type,
        decay_shape=decay_type,
        min_factor=min_lr_ratio,
    )


IGNORING = ("constant", "constant_with_warmup")  # whatever else transformers is given for these
BOTH = ("num_warmup_steps", "num_training_steps")
BUILDERS: dict[str, tuple[Callable[..., Schedule | None], tuple[str, ...]]] = {
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
class _Plateau(Plateau):
    """With every value that torch takes, such as a factor of 0."""

    def check(self, key: str) -> None:
        pass


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
    """A warm-up and cosine counted from n = k + 1: no step at 0, the floor at the last one."""

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
