"""Ranges on fields: each mark refuses what lies outside, with key, value and range."""

import math
from dataclasses import dataclass
from typing import Any

import pytest

from trainer.options.marks import above, at_least, between, check, marked, one_of, within


@dataclass
class Option:
    above: float = above(0, 1.0)
    least: float | None = at_least(0, None)
    inside: float = within(0, 1, 0.5, "(]")
    whole: int = between(2, 4, 3)
    name: str = one_of(("a", "b"), "a")
    even: int = marked(0, "even", lambda value: value % 2 == 0)


@pytest.mark.parametrize(
    ("key", "good", "bad", "text"),
    [
        ("above", (1e-9, 1e9), (0.0, -1.0, math.inf, math.nan), "a finite number above 0"),
        ("least", (0.0, None), (-1e-9, math.inf, math.nan), "at least 0, or null"),
        ("inside", (1e-9, 1.0), (0.0, 1.1, math.nan), "in (0, 1]"),
        ("whole", (2, 4), (1, 5), "in 2..4"),
        ("name", ("a", "b"), ("c", ""), "one of a, b"),
        ("even", (2,), (1,), "even"),
    ],
)
def test_a_mark_takes_what_is_in_range_alone(
    key: str, good: tuple[Any, ...], bad: tuple[Any, ...], text: str
) -> None:
    for value in good:
        check(Option(**{key: value}), "place")
    for value in bad:
        with pytest.raises(ValueError, match="must be") as raised:
            check(Option(**{key: value}), "place")
        assert str(raised.value) == f"place.{key}={value}: must be {text}"
    with pytest.raises(ValueError, match=f"^{key}="):
        check(Option(**{key: bad[0]}))


def test_null_is_in_range_where_it_is_the_default_alone() -> None:
    check(Option(least=None))
    with pytest.raises(TypeError):
        check(Option(above=None))  # pyright: ignore[reportArgumentType]
