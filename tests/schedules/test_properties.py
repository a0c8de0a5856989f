"""What holds for every schedule of the group, over drawn parameters."""

import itertools
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer.schedules import (
    WSD,
    Constant,
    Cosine,
    CosineRestarts,
    Cyclic,
    Exponential,
    Formula,
    HoldLinear,
    InverseSqrt,
    Linear,
    MultiStep,
    Noam,
    OneCycle,
    Phases,
    Plateau,
    Polynomial,
    Schedule,
    StepLR,
    Warmup,
)
from trainer.schedules.options import OPTIONS

EPOCHS = 6
shares = st.floats(0, 1)
factors = st.floats(0.01, 1)
lrs = st.floats(0, 10)
SHAPES = st.sampled_from(["linear", "cosine", "1-sqrt"])


def durations(least: int = 1) -> st.SearchStrategy[object]:
    """Up to the length of the run, in each unit; `least` steps whatever the epoch's length."""
    numbers = st.integers(least, EPOCHS).map(lambda n: n)
    steps = st.integers(least, 40).map(lambda n: f"{n} steps")
    percent = st.integers(30 if least else 0, 100).map(lambda n: f"{n}%")
    return st.one_of(numbers, steps, percent)


def inner() -> st.SearchStrategy[Schedule]:
    return st.one_of(
        st.just(Constant()),
        st.builds(StepLR, step_size=durations(), gamma=factors),
        st.builds(MultiStep, milestones=st.just(["3 steps", "9 steps", "27 steps"]), gamma=factors),
        st.builds(Exponential, gamma=factors, every=durations()),
        st.builds(
            Cosine,
            eta_min=lrs,
            num_cycles=st.sampled_from([0.5, 1.0, 2.5]),
            length=st.none() | durations(),
        ),
        st.builds(
            CosineRestarts,
            num_cycles=st.integers(1, 5),
            eta_min=lrs,
            peak_decay=factors,
        ),
        st.builds(
            CosineRestarts,
            t_0=durations(),
            t_mult=st.integers(1, 3),
            eta_min=lrs,
            peak_decay=factors,
        ),
        st.builds(Linear, start_factor=shares, end_factor=shares, length=st.none() | durations()),
        st.builds(Polynomial, power=st.floats(0.2, 5), lr_end=lrs, length=st.none() | durations()),
        st.builds(InverseSqrt, timescale=st.none() | durations()),
        st.builds(Plateau),
    )


def warmups() -> st.SearchStrategy[Warmup]:
    return st.builds(
        Warmup,
        warmup=st.integers(1, 9).map(lambda n: f"{n} steps"),
        start_factor=factors | st.just(1.0),
        shape=st.sampled_from(["linear", "cosine", "exponential", "constant"]),
        clock=st.sampled_from(["after", "absolute"]),
        after=inner(),
    )


def schedules() -> st.SearchStrategy[Schedule]:
    return st.one_of(
        inner(),
        warmups(),
        st.builds(Noam, d_model=st.integers(1, 1024), warmup=durations()),
        st.builds(
            WSD,
            warmup=durations(0),
            stable=durations(0),
            decay=durations(),
            warmup_shape=SHAPES,
            decay_shape=SHAPES,
            min_factor=shares,
        ),
        st.builds(HoldLinear, hold=durations(0), decay=durations()),
        st.builds(
            OneCycle,
            max_lr=st.none() | lrs,
            pct_start=shares,
            div_factor=st.floats(1, 100),
            final_div_factor=st.floats(1, 1e5),
            anneal=st.sampled_from(["cos", "linear"]),
            three_phase=st.booleans(),
        ),
        st.builds(
            Cyclic,
            base_lr=st.none() | lrs,
            max_lr=st.none() | lrs,
            step_size_up=durations(),
            step_size_down=st.none() | durations(),
            mode=st.sampled_from(["triangular", "triangular2", "exp_range"]),
            gamma=factors,
        ),
        st.builds(
            Phases,
            phases=st.just(
                [
                    {"length": "5 steps", "schedule": {"name": "linear"}},
                    {"length": 2, "schedule": {"name": "cosine", "eta_min": 0.1}, "factor": 0.5},
                    {"schedule": {"name": "exponential", "every": "4 steps"}},
                ]
            ),
        ),
        st.just(Formula(formula="abs(cos(k / 7)) * exp(-t / total)")),
    )


SETTINGS = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
EPOCH_LENGTHS = st.sampled_from([2, 7, 39])


@SETTINGS
@given(schedules(), EPOCH_LENGTHS, st.floats(0, 10))
def test_the_lr_is_finite_never_negative_and_a_function_of_step_and_base_also_past_the_end(
    option: Schedule, steps: int, base: float
) -> None:
    resolved = option.resolve(steps, EPOCHS * steps + 20)
    places = [*range(resolved.updates + 3), resolved.updates * 3, 10**7]
    lrs = [resolved.lr(k, base) for k in places]
    assert all(isinstance(lr, float) and math.isfinite(lr) and lr >= 0 for lr in lrs)
    again = option.resolve(steps, EPOCHS * steps + 20)
    assert [again.lr(k, base) for k in reversed(places)] == lrs[::-1]
    if resolved.momentum is not None:
        assert all(0 <= resolved.momentum(k) < 1 for k in range(resolved.updates))


@SETTINGS
@given(schedules(), EPOCH_LENGTHS)
def test_the_staircase_is_the_smooth_curve_held_from_the_start_of_each_epoch(
    option: Schedule, steps: int
) -> None:
    updates = (EPOCHS + 4) * steps + 20
    smooth = option.resolve(steps, updates)
    option.interval = "epoch"
    stairs = option.resolve(steps, updates)
    option.interval = "step"
    for k in range(updates + 2 * steps):
        assert stairs.lr(k, 0.3) == smooth.lr(k - k % steps, 0.3)
        if smooth.momentum is not None and stairs.momentum is not None and k < updates:
            assert stairs.momentum(k) == smooth.momentum(k - k % steps)


@SETTINGS
@given(inner(), EPOCH_LENGTHS, st.sampled_from([0, 0.0, "0 steps", "0%"]))
def test_no_warm_up_is_exactly_the_inner_schedule(
    option: Schedule, steps: int, zero: float | str
) -> None:
    updates = EPOCHS * steps + 20
    plain = option.resolve(steps, updates)
    wrapped = Warmup(warmup=zero, after=option).resolve(steps, updates)
    assert [plain.lr(k, 0.3) for k in range(updates)] == [
        wrapped.lr(k, 0.3) for k in range(updates)
    ]


@SETTINGS
@given(warmups(), EPOCH_LENGTHS, st.floats(1e-4, 10))
def test_a_warm_up_rises_to_exactly_the_base_and_then_the_inner_schedule_counts_by_its_clock(
    option: Warmup, steps: int, base: float
) -> None:
    updates, end = EPOCHS * steps + 20, int(str(option.warmup).split()[0])
    resolved = option.resolve(steps, updates)
    ramp = [resolved.lr(k, base) for k in range(end + 1)]
    assert ramp[0] == option.start_factor * base
    assert ramp[end] == base
    assert all(lower <= upper * (1 + 1e-12) for lower, upper in itertools.pairwise(ramp))
    if option.shape != "constant":  # no jump at its end: no step is steeper than the ramp's last
        steepest = {
            "linear": (1 - option.start_factor) / end,
            "cosine": (1 - option.start_factor) / end * math.pi / 2,
            "exponential": 1 - option.start_factor ** (1 / end),
        }[option.shape]
        assert base - ramp[end - 1] <= base * (steepest + 1e-12)
    if isinstance(option.after, InverseSqrt) and option.after.timescale is None:
        return  # it takes the warm-up in front as its time scale
    skipped = end if option.clock == "after" else 0
    alone = option.after.resolve(steps, updates - skipped)
    for k in range(end + 1, updates + 20):
        assert resolved.lr(k, base) == alone.lr(k - skipped, base)


@pytest.mark.parametrize("warmup", [30, 31, "100%", "11700 steps", "12000 steps"])
@pytest.mark.parametrize("clock", ["after", "absolute"])
def test_a_warm_up_that_is_not_shorter_than_the_run_is_an_error(
    warmup: float | str, clock: str
) -> None:
    option = Warmup(warmup=warmup, clock=clock, after=Constant())
    with pytest.raises(ValueError, match=rf"^scheduler\.warmup={warmup}: .* 11700$"):
        option.resolve(390, 30 * 390)


def test_lengths_in_updates_do_not_depend_on_the_length_of_an_epoch() -> None:
    """Except hold_linear, whose formula counts epochs; percent and epochs of course do."""
    options: list[Schedule] = [
        StepLR(step_size="300 steps"),
        MultiStep(milestones=["299 steps", "300 steps", "901 steps"]),
        Exponential(every="300 steps"),
        Cosine(length="1000 steps"),
        CosineRestarts(t_0="100 steps", t_mult=2),
        Linear(length="1000 steps"),
        Polynomial(length="1000 steps"),
        InverseSqrt(timescale="300 steps"),
        Noam(warmup="300 steps"),
        WSD(warmup="100 steps", stable="500 steps", decay="300 steps"),
        OneCycle(),
        Cyclic(step_size_up="100 steps", step_size_down="30 steps"),
        Warmup(warmup="300 steps", after=StepLR(step_size="300 steps")),
        Warmup(warmup="300 steps", clock="absolute", after=Cosine()),
    ]
    for option in options:
        one = option.resolve(1, 1200)
        for steps in (390, 391, 7, 78125):
            other = option.resolve(steps, 1200)
            assert [one.lr(k, 0.3) for k in range(1300)] == [other.lr(k, 0.3) for k in range(1300)]
            assert not other.notes.rounded


def test_every_option_is_drawn() -> None:
    drawn: set[str] = set()

    @settings(max_examples=400, derandomize=True, database=None, deadline=None)
    @given(schedules())
    def draw(option: Schedule) -> None:
        drawn.add(option.name)

    draw()
    assert drawn == OPTIONS.keys()
