"""What a search may choose for a key: Hydra's grammar, as a distribution of Optuna's."""

from typing import TYPE_CHECKING

from hydra.core.override_parser.types import IntervalSweep, RangeSweep

from trainer.config.overrides import parse

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def drawn_from(key: str, text: str) -> "tuple[BaseDistribution, list[str]]":
    """What Optuna draws a key from, and what there is to be checked of it beforehand.

    Args:
        key: The key.
        text: `interval()`, `choice()` or `range()`, perhaps in `tag(log, ...)`, or values with
            commas between them.

    Returns:
        The distribution, a choice being a text as Hydra's grammar writes it; and each choice, or
        both ends of an interval, as an override.

    Raises:
        ValueError: If it is none of these, or its logarithm cannot be taken.
    """
    from optuna import distributions  # takes a second

    (override,) = parse([f"{key}={text}"])
    if not override.is_sweep_override():
        raise ValueError(f"{key}={text}: give it choice(), range() or interval()")
    value = override.value()
    if isinstance(value, IntervalSweep):
        ends, log = (value.start or 0, value.end or 0), "log" in value.tags
        whole = all(isinstance(end, int) for end in ends)
        kind = distributions.IntDistribution if whole else distributions.FloatDistribution
        try:
            drawn = kind(*ends, log=log)  # pyright: ignore[reportArgumentType]
        except ValueError as error:
            raise ValueError(f"{key}={text}: {error}") from error
        return drawn, [f"{key}={end}" for end in ends]
    choices = list(override.sweep_string_iterator())
    checked = [f"{key}={choice}" for choice in choices]
    if isinstance(value, RangeSweep) and all(choice.lstrip("-").isdigit() for choice in choices):
        numbers = sorted(map(int, choices))
        step = abs(int(value.step))
        return distributions.IntDistribution(numbers[0], numbers[-1], step=step), checked
    return distributions.CategoricalDistribution(choices), checked
