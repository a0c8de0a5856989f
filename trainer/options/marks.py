"""Marks on fields: the range of a value, and what another value changes."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

RANGE, BEFORE = "range", "before"
CHANGES = "changes"  # what another value changes: the result, where nothing is said
WHERE = "where"
ASKED = "asked"


@dataclass(frozen=True, slots=True)
class Range:
    """What a value may be.

    Attributes:
        text: In words, behind "must be".
        holds: Whether a value is such a one.
    """

    text: str
    holds: Callable[[Any], bool]


def marked(default: Any, text: str, holds: Callable[[Any], bool]) -> Any:
    """A field with a default whose values must be `text`."""
    return dataclasses.field(default=default, metadata={RANGE: Range(text, holds)})


def above(low: float, default: float | None) -> Any:
    """A field whose values are finite and above `low`."""
    text = f"a finite number above {low:g}"
    return marked(default, text, lambda value: math.isfinite(value) and value > low)


def at_least(low: float, default: float | None) -> Any:
    """A field whose values are finite and at least `low`."""
    text = f"at least {low:g}"
    return marked(default, text, lambda value: math.isfinite(value) and value >= low)


def within(low: float, high: float, default: float | None, ends: str = "[]") -> Any:
    """A field whose values lie between two numbers; `ends` says whether these belong to it."""

    def holds(value: float) -> bool:
        left = low <= value if ends[0] == "[" else low < value
        return left and (value <= high if ends[1] == "]" else value < high)

    return marked(default, f"in {ends[0]}{low:g}, {high:g}{ends[1]}", holds)


def between(low: int, high: int, default: int) -> Any:
    """A field of whole numbers from `low` to `high`."""
    return marked(default, f"in {low}..{high}", lambda value: low <= value <= high)


def one_of(choices: Sequence[str], default: str, before: str | None = None) -> Any:
    """A field of names; `before` is what a configuration means that is older than the field."""
    mark = Range(f"one of {', '.join(choices)}", lambda value: value in choices)
    return dataclasses.field(default=default, metadata={RANGE: mark, BEFORE: before})


def before(option: type) -> dict[str, Any]:
    """Values that a configuration older than its fields means, where not their defaults."""
    values = {field.name: field.metadata.get(BEFORE) for field in dataclasses.fields(option)}
    return {name: value for name, value in values.items() if value is not None}


def where(field: Any) -> Any:
    """A field, or a default, that says where and how a run is carried out, not what it computes.

    A resumed run may change it, and reports do not tell runs apart by it.
    """
    return _changing(WHERE, field)


def asked(field: Any) -> Any:
    """A field, or a default, that tells experiments apart, but that a resumed run may change.

    What the steps already made depend on is compared otherwise: by the length, the precision.
    """
    return _changing(ASKED, field)


def _changing(what: str, field: Any) -> Any:
    made = field if isinstance(field, dataclasses.Field) else dataclasses.field(default=field)
    made.metadata = MappingProxyType({**made.metadata, CHANGES: what})
    return made


def range_of(field: "dataclasses.Field[Any]") -> str | None:
    """What a field's values must be, in words; None: it has no mark."""
    mark = field.metadata.get(RANGE)
    return None if mark is None else mark.text + (", or null" if field.default is None else "")


def check(option: Any, key: str = "") -> None:
    """Raises ValueError, with key, value and range, for the first value out of its range.

    Args:
        option: A dataclass; null where that is the default is always in range.
        key: Where it stands; empty: at the top.
    """
    for field in dataclasses.fields(option):
        value, mark = getattr(option, field.name), field.metadata.get(RANGE)
        optional = value is None and field.default is None
        if mark is not None and not optional and not mark.holds(value):
            place = f"{key}.{field.name}" if key else field.name
            raise ValueError(f"{place}={value}: must be {range_of(field)}")
