"""Schedules made by the user: phases one after the other, and a formula."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainer.options.ranges import require, require_lr
from trainer.schedules.expression import compile_expression
from trainer.schedules.schedule import (
    OPTIONS,
    Curve,
    Schedule,
    refuse_momentum,
    schedule,
    staircase,
)
from trainer.schedules.span import Span

VARIABLES = ["t", "k", "total", "steps_per_epoch", "T", "E"]
PHASE_KEYS = ("length", "of", "schedule", "factor")


@schedule("formula")
class Formula(Schedule):
    """lr(k) = base * formula(t, k, total, steps_per_epoch).

    Attributes:
        formula: Arithmetic in `t` (epochs, fractional), `k` (step), `total` (epochs of the run)
            and `steps_per_epoch`; as in docs/schedules.md also `T` (steps of the run) and `E`
            (steps in an epoch), e.g. `0.5*(1+cos(pi*t/total))`. Its value must be finite and at
            least 0 at every step. What may stand in it: `expression.compile_expression`.
    """

    takes_warmup = False

    formula: str = "1 - t/total"

    def check(self, key: str) -> None:
        """Raises ValueError if the formula cannot be read."""
        Schedule.check(self, key)
        try:
            compile_expression(self.formula, VARIABLES)
        except ValueError as error:
            raise ValueError(f"{key}.formula={self.formula}: {error}") from error

    def curve(self, span: Span, key: str) -> Curve:
        """The formula, checked at every step of the span."""
        expression = compile_expression(self.formula, VARIABLES)
        epoch = float(span.steps_per_epoch)
        total = span.updates / epoch
        last = span.updates

        def factor(k: int) -> float:
            k = min(k, last)  # past the end the last value holds
            steps = {"k": float(k), "T": float(last), "steps_per_epoch": epoch, "E": epoch}
            values = {"t": k / epoch, "total": total, **steps}
            try:
                value = expression(values)
            except (ArithmeticError, ValueError) as error:
                raise ValueError(f"{key}.formula={self.formula}: at step {k}: {error}") from error
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"{key}.formula={self.formula}: is {value:g} at step {k}, must be finite "
                    "and at least 0"
                )
            return value

        for k in range(last):
            factor(k)
        return lambda k, base_lr: base_lr * factor(k)


@schedule("phases")
class Phases(Schedule):
    """Schedules one after the other, each from its own step 0 on the base LR.

    A phase's first step is the first one of its schedule. After the last phase its schedule goes
    on past its end.

    Attributes:
        phases: A list of `{length, of, schedule, factor}`: `length` a duration (null for the last:
            the rest of the run), `of` the length of the run that the phase is cut from (its own, if
            left out), `schedule` an option with its `name` and keys, `factor` (1 if left out)
            multiplies the base LR.
    """

    takes_warmup = False

    phases: list[Any] = field(
        default_factory=lambda: list[Any](
            [
                {"length": "50%", "schedule": {"name": "constant"}},
                {"length": None, "schedule": {"name": "linear"}},
            ]
        )
    )

    def check(self, key: str) -> None:
        """Raises ValueError, naming the phase and key, for anything that cannot be built."""
        Schedule.check(self, key)
        require(len(self.phases) > 0, f"{key}.phases", "[]", "a list of at least one phase")
        for number, phase in enumerate(self.phases):
            place = f"{key}.phases[{number}]"
            require(isinstance(phase, Mapping), place, phase, "{length: ..., schedule: ...}")
            _check_keys(phase, PHASE_KEYS, place)
            require_lr(f"{place}.factor", float(phase.get("factor", 1.0)))
            last = number == len(self.phases) - 1
            if phase.get("length") is None and not last:
                raise ValueError(f"{place}.length: only the last phase may go on to the end")
            inner = built(phase.get("schedule"), f"{place}.schedule")
            inner.check(f"{place}.schedule")

    def curve(self, span: Span, key: str) -> Curve:
        """The phases' curves, end to end."""
        parts: list[tuple[int, float, Curve]] = []
        start = 0
        for number, phase in enumerate(self.phases):
            place = f"{key}.phases[{number}]"
            if phase.get("length") is None:
                length = span.updates - start
                require(length >= 1, f"{place}.length", "null", "given: nothing is left for it")
            else:
                length = span.length(phase["length"], f"{place}.length", least=1)
            inner = built(phase.get("schedule"), f"{place}.schedule")
            whole = length
            if phase.get("of") is not None:
                whole = span.length(phase["of"], f"{place}.of", least=length)
            part = Span(span.steps_per_epoch, whole, span.start + start, span.notes)
            curve = inner.curve(part, f"{place}.schedule")
            if inner.interval == "epoch":
                curve = staircase(curve, part)
            refuse_momentum(span, f"{place}.schedule")
            if span.notes.plateau is not None:
                raise ValueError(f"{place}.schedule.name=plateau: cannot be a phase")
            parts.append((start, float(phase.get("factor", 1.0)), curve))
            start += length
        if start > span.updates:
            span.warn(f"{key}.phases: last {start} steps, the run ends after {span.updates}")
        return lambda k, base_lr: _in_phase(parts, k, base_lr)


def _in_phase(parts: list[tuple[int, float, Curve]], k: int, base_lr: float) -> float:
    for start, factor, curve in reversed(parts):
        if k >= start:
            return curve(k - start, base_lr * factor)
    raise IndexError(k)


def built(node: Any, key: str) -> Schedule:
    """A schedule out of plain values, every key checked.

    Raises:
        ValueError: For an unknown name or key, with the nearest known one.
    """
    if not isinstance(node, Mapping) or "name" not in node:
        raise ValueError(f"{key}: must be {{name: <schedule>, ...}}")
    name = str(node["name"])
    if name not in OPTIONS:
        raise ValueError(
            f"{key}.name={name}{_near(name, OPTIONS)} Choose one of: {', '.join(OPTIONS)}"
        )
    _check_keys(node, [f.name for f in dataclasses.fields(OPTIONS[name])], key)
    values = dict(node)
    inner = built(values.pop("after"), f"{key}.after") if "after" in values else None
    try:  # OmegaConf checks and converts the types, as it does for the outermost schedule
        typed: Any = OmegaConf.merge(OmegaConf.structured(OPTIONS[name]), values)
        if inner is not None:
            typed["after"] = OmegaConf.structured(inner)
        made = OmegaConf.to_object(typed)
    except OmegaConfBaseException as error:
        place = getattr(error, "full_key", None)
        raise ValueError(f"{key}.{place}: {str(error).splitlines()[0]}") from error
    if not isinstance(made, Schedule):
        raise TypeError(f"{key}: not a schedule: {made!r}")
    return made


def _check_keys(node: Mapping[str, Any], known: "tuple[str, ...] | list[str]", key: str) -> None:
    for name in node:
        if name not in known:
            raise ValueError(f"{key}.{name}: there is no such key{_near(name, known)}")


def _near(name: str, known: Any) -> str:
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else "."
