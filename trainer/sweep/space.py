"""What a search may choose for a key: Hydra's grammar, as a distribution of Optuna's."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from trainer.config.overrides import parse

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distribution(key: str, text: str) -> "BaseDistribution":
    """What Optuna draws a key from.

    Args:
        key: The key.
        text: `interval()`, `choice()` or `range()`, perhaps in `tag(log, ...)`, or values with
            commas between them.

    Raises:
        ValueError: If it is none of these, or its logarithm cannot be taken.
    """
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    override = swept(key, text)
    value = override.value()
    log = "log" in getattr(value, "tags", ())
    if isinstance(value, IntervalSweep):
        low, high = value.start or 0, value.end or 0
        if low > high or (log and low <= 0):
            needed = "above 0 under log, and " if log else ""
            raise ValueError(f"{key}={text}: its start must be {needed}at most its end")
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(low, high, log=log)
    if isinstance(value, RangeSweep):
        numbers = sorted(float(number) for number in override.sweep_string_iterator())
        if all(isinstance(n, int) for n in (value.start or 0, value.stop, value.step)):
            step = abs(int(value.step))
            return IntDistribution(int(numbers[0]), int(numbers[-1]), step=step)
        return FloatDistribution(numbers[0], numbers[-1], step=abs(float(value.step)))
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def swept(key: str, text: str) -> Override:
    """What a key is drawn from, parsed.

    Raises:
        ValueError: If it is a single value.
    """
    (override,) = parse([f"{key}={text}"])
    if not override.is_sweep_override():
        raise ValueError(f"{key}={text}: give it choice(), range() or interval()")
    if getattr(override.value(), "shuffle", False):
        raise ValueError(f"{key}={text}: a search has an order of its own; leave out shuffle()")
    return override


def ends(key: str, text: str) -> Iterator[str]:
    """Each choice, or both ends of an interval, as an override."""
    override = swept(key, text)
    value = override.value()
    if isinstance(value, IntervalSweep):
        yield from (f"{key}={value.start}", f"{key}={value.end}")
    else:
        yield from (f"{key}={choice}" for choice in override.sweep_string_iterator())
