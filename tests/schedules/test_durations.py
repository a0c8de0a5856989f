"""Durations become whole steps once, exactly, and say so where they had to be rounded."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.config.overrides import compose_run
from trainer.schedules import Cosine, Duration, Exponential, MultiStep, StepLR, Warmup
from trainer.schedules.durations import parse
from trainer.schedules.span import Span

STEPS_PER_EPOCH = [390, 391, 1, 7, 78125]
drawn = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize(
    ("value", "amount", "unit"),
    [
        (5, Fraction(5), "epochs"),
        (2.5, Fraction(5, 2), "epochs"),
        (0.1, Fraction(1, 10), "epochs"),
        (1e-05, Fraction(1, 100_000), "epochs"),
        ("5", Fraction(5), "epochs"),
        ("2.5 epochs", Fraction(5, 2), "epochs"),
        ("1 epoch", Fraction(1), "epochs"),
        ("300 steps", Fraction(300), "steps"),
        ("1 step", Fraction(1), "steps"),
        ("300steps", Fraction(300), "steps"),
        ("300 updates", Fraction(300), "steps"),
        ("1 update", Fraction(1), "steps"),
        ("10%", Fraction(10), "%"),
        (" 2.5 % ", Fraction(5, 2), "%"),
    ],
)
def test_a_duration_is_epochs_steps_or_a_share(
    value: Duration, amount: Fraction, unit: str
) -> None:
    assert parse(value, "scheduler.warmup") == (amount, unit)


@pytest.mark.parametrize(
    "value",
    [
        *("", "abc", "-1", "-3 steps", "2.5 steps", "1e3", "10%%", "5 minutes", "inf", "None"),
        *(-1, -0.5, math.nan, math.inf, -math.inf),
    ],
)
def test_what_is_no_duration_is_refused_with_key_value_and_the_forms(value: Duration) -> None:
    with pytest.raises(ValueError, match=r"scheduler\.step_size") as error:
        StepLR(step_size=value).resolve(390, 11700)
    message = str(error.value)
    assert message.startswith(f"scheduler.step_size={value}: ")
    for form in ("epochs", "300 steps", "10%") if isinstance(value, str) else ():
        assert form in message


@pytest.mark.parametrize("steps_per_epoch", STEPS_PER_EPOCH)
@drawn
@given(size=st.integers(1, 100_000), drops=st.integers(1, 10_000))
def test_a_duration_in_steps_is_exact_for_every_length_of_an_epoch(
    steps_per_epoch: int, size: int, drops: int
) -> None:
    resolved = StepLR(step_size=f"{size} steps", gamma=0.999).resolve(steps_per_epoch, 10**9)
    k = size * drops
    assert resolved.lr(k - 1, 1.0) == 0.999 ** (drops - 1)
    assert resolved.lr(k, 1.0) == 0.999**drops
    assert resolved.notes.rounded == []


@drawn
@given(
    hundredths=st.integers(0, 10_000),
    unit=st.sampled_from(["", " epochs", "%"]),
    steps_per_epoch=st.sampled_from(STEPS_PER_EPOCH),
    epochs=st.integers(1, 200),
)
def test_a_fraction_is_the_nearest_whole_update_and_is_noted_exactly_where_it_was_rounded(
    hundredths: int, unit: str, steps_per_epoch: int, epochs: int
) -> None:
    span = Span(steps_per_epoch, epochs * steps_per_epoch)
    value = f"{hundredths // 100}.{hundredths % 100:02d}{unit}"
    length = span.length(value, "scheduler.warmup")
    whole = Fraction(span.updates, 100) if unit == "%" else steps_per_epoch
    exact = Fraction(hundredths, 100) * whole
    assert -Fraction(1, 2) < length - exact <= Fraction(1, 2)
    assert len(span.notes.rounded) == (length != exact)
    for line in span.notes.rounded:
        assert line.startswith(f"scheduler.warmup={value} is ")
        assert line.endswith(f"rounded to {length}")


def test_a_float_of_epochs_is_taken_at_its_decimal_value() -> None:
    assert 0.29 * 100 < 29  # what arithmetic on floats would make of it
    assert 2.3 * 390 < 897
    for value, steps_per_epoch, expected in ((0.29, 100, 29), (2.3, 390, 897), (2.5, 390, 975)):
        span = Span(steps_per_epoch, 100 * steps_per_epoch)
        assert span.length(value, "scheduler.warmup") == expected
        assert span.notes.rounded == []


def test_a_share_is_of_the_run_and_behind_a_warm_up_of_what_remains() -> None:
    alone = StepLR(step_size="10%", gamma=0.5).resolve(390, 11_700)
    assert [alone.lr(k, 1.0) for k in (1_169, 1_170, 2_340)] == [1.0, 0.5, 0.25]
    behind = Warmup(warmup="20%", after=StepLR(step_size="10%", gamma=0.5)).resolve(390, 11_700)
    assert [behind.lr(k, 1.0) for k in (2_340, 2_340 + 935, 2_340 + 936)] == [1.0, 1.0, 0.5]
    absolute = Warmup(warmup="20%", clock="absolute", after=StepLR(step_size="50%", gamma=0.5))
    resolved = absolute.resolve(390, 11_700)
    assert [resolved.lr(k, 1.0) for k in (5_849, 5_850)] == [1.0, 0.5]


def test_rounding_is_noted_with_the_key_of_each_duration() -> None:
    option = Warmup(warmup=2.3, after=MultiStep(milestones=[1.5, "7 steps", 4]))
    assert MultiStep(milestones=[1, "4%"]).resolve(10, 1000).notes.rounded == []
    with pytest.raises(ValueError, match="strictly rising"):
        option.resolve(7, 210)
    option.after = MultiStep(milestones=["7 steps", 1.5, 4])
    assert option.resolve(7, 210).notes.rounded == [
        "scheduler.warmup=2.3 is 16.1 steps: rounded to 16",
        "scheduler.after.milestones=1.5 is 10.5 steps: rounded to 11",
    ]


def test_a_duration_below_one_update_is_refused_where_one_is_needed() -> None:
    for option, key in (
        (StepLR(step_size=0.001), "scheduler.step_size=0.001"),
        (MultiStep(milestones=["0 steps"]), "scheduler.milestones=0 steps"),
        (Exponential(every="0.001%"), "scheduler.every=0.001%"),
        (Cosine(length=0.0), "scheduler.length=0.0"),
    ):
        with pytest.raises(ValueError, match=r"is 0 steps, must be at least 1$") as error:
            option.resolve(10, 300)
        assert str(error.value).startswith(f"{key}:")


@pytest.mark.parametrize(
    ("written", "value", "updates"),
    [("5", 5, 1950), ("2.5", 2.5, 975), ("300 steps", "300 steps", 300), ("10%", "10%", 1170)],
)
def test_the_command_line_takes_every_form(written: str, value: Duration, updates: int) -> None:
    config = compose_run(["scheduler=warmup_steplr", f"scheduler.warmup={written}"]).config
    assert isinstance(config.scheduler, Warmup)
    assert config.scheduler.warmup == value
    assert type(config.scheduler.warmup) is type(value)
    resolved = config.resolve_schedule()
    assert resolved.lr(updates - 1, 1.0) < 1.0
    assert resolved.lr(updates, 1.0) == 1.0
