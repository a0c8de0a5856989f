"""Every schedule equals its source at every step, ends held, and behaves behind a warm-up."""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler
from transformers.optimization import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
)

from trainer.schedules import (
    Constant,
    Cosine,
    Exponential,
    Formula,
    MultiStep,
    Plateau,
    Schedule,
    StepLR,
    Warmup,
)

MakeTorch = Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]
drawn = settings(max_examples=40, deadline=None, derandomize=True, database=None)
bases = st.floats(1e-4, 10)
factors = st.floats(0.05, 1)
NAMES = ["constant", "steplr", "multistep", "exponential", "cosine"]
SHAPES = ["linear", "cosine", "exponential", "constant"]


def torch_lrs(make: MakeTorch, base: float, steps: int) -> list[float]:
    """The LR that a torch scheduler has in force for steps 0 to `steps`."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    scheduler = make(optimizer)
    lrs: list[float] = []
    for _ in range(steps + 1):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return lrs


def assert_same(ours: float, theirs: float, base: float, where: object) -> None:
    """Equal up to the rounding of torch's recursion, and of a difference near 0."""
    assert math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-14 * base), (where, ours, theirs)


def draw_pair(
    data: st.DataObject, name: str, length: int, unit: str = ""
) -> tuple[Schedule, MakeTorch]:
    """One of our schedules and torch's, whose step is `unit`, over `length` steps."""
    if name == "constant":
        return Constant(), lambda o: lr_scheduler.LambdaLR(o, lambda _: 1.0)
    if name == "cosine":
        eta_min = data.draw(st.one_of(st.just(0.0), st.floats(0, 1e-4)))
        return (
            Cosine(eta_min=eta_min),
            lambda o: lr_scheduler.CosineAnnealingLR(o, length, eta_min=eta_min),
        )
    gamma = data.draw(factors)
    if name == "exponential":
        every = f"1{unit}" if unit else 1
        option = Exponential(gamma=gamma, every=every)
        return option, lambda o: lr_scheduler.ExponentialLR(o, gamma)
    if name == "steplr":
        size = data.draw(st.integers(1, length + 2))
        return (
            StepLR(step_size=f"{size}{unit}" if unit else size, gamma=gamma),
            lambda o: lr_scheduler.StepLR(o, size, gamma),
        )
    marks = sorted(data.draw(st.sets(st.integers(1, length + 2), min_size=1, max_size=6)))
    return (
        MultiStep(milestones=[f"{m}{unit}" if unit else m for m in marks], gamma=gamma),
        lambda o: lr_scheduler.MultiStepLR(o, marks, gamma),
    )


@pytest.mark.parametrize("name", NAMES)
@drawn
@given(data=st.data(), base=bases, epochs=st.integers(1, 30), steps_per_epoch=st.integers(1, 9))
def test_interval_epoch_equals_torch_stepped_once_per_epoch_at_every_update(
    name: str, data: st.DataObject, base: float, epochs: int, steps_per_epoch: int
) -> None:
    option, make = draw_pair(data, name, epochs)
    resolved = replace(option, interval="epoch").resolve(steps_per_epoch, epochs * steps_per_epoch)
    expected = torch_lrs(make, base, epochs)
    for k in range((epochs + 1) * steps_per_epoch):
        assert_same(resolved.lr(k, base), expected[k // steps_per_epoch], base, k)


@pytest.mark.parametrize("name", NAMES)
@drawn
@given(data=st.data(), base=bases, updates=st.integers(1, 70), steps_per_epoch=st.integers(1, 80))
def test_interval_step_equals_torch_stepped_at_every_update(
    name: str, data: st.DataObject, base: float, updates: int, steps_per_epoch: int
) -> None:
    option, make = draw_pair(data, name, updates, " steps")
    resolved = option.resolve(steps_per_epoch, updates)
    for k, expected in enumerate(torch_lrs(make, base, updates)):
        assert_same(resolved.lr(k, base), expected, base, k)


@drawn
@given(
    base=bases,
    gamma=factors,
    epochs=st.integers(1, 20),
    steps_per_epoch=st.integers(1, 20),
    every=st.integers(1, 4),
)
def test_exponential_falls_by_gamma_for_each_duration_and_smoothly_in_between(
    base: float, gamma: float, epochs: int, steps_per_epoch: int, every: int
) -> None:
    resolved = Exponential(gamma=gamma, every=every).resolve(
        steps_per_epoch, epochs * steps_per_epoch
    )
    for k in range(epochs * steps_per_epoch):
        expected = base * math.exp(math.log(gamma) * k / steps_per_epoch / every)
        assert math.isclose(resolved.lr(k, base), expected, rel_tol=1e-12)


@drawn
@given(
    base=bases,
    eta_min=st.floats(0, 1e-4),
    num_cycles=st.floats(0.1, 4),
    length=st.integers(1, 60),
    updates=st.integers(1, 60),
)
def test_a_cosine_has_its_waves_within_its_own_length_and_then_holds(
    base: float, eta_min: float, num_cycles: float, length: int, updates: int
) -> None:
    option = Cosine(eta_min=eta_min, num_cycles=num_cycles, length=f"{length} steps")
    resolved = option.resolve(7, updates)
    for k in range(2 * length):
        angle = 2 * math.pi * num_cycles * min(k, length) / length
        expected = eta_min + (base - eta_min) * math.cos(angle / 2) ** 2
        assert_same(resolved.lr(k, base), expected, base, k)


@drawn
@given(
    base=bases,
    updates=st.integers(2, 80),
    share=st.floats(0, 1, exclude_max=True),
    num_cycles=st.one_of(st.sampled_from([0.5, 1.0, 1.5, 2.0]), st.floats(0.1, 4)),
)
def test_warmup_cosine_equals_transformers_at_every_update(
    base: float, updates: int, share: float, num_cycles: float
) -> None:
    warmup = int(share * updates)
    option = Warmup(warmup=f"{warmup} steps", start_factor=0.0, after=Cosine(num_cycles=num_cycles))
    resolved = option.resolve(13, updates)

    def make(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        return get_cosine_schedule_with_warmup(optimizer, warmup, updates, num_cycles)

    for k, expected in enumerate(torch_lrs(make, base, updates)):
        assert_same(resolved.lr(k, base), expected, base, k)


@drawn
@given(base=bases, updates=st.integers(2, 60), share=st.floats(0, 1, exclude_max=True))
def test_warmup_constant_equals_transformers_at_every_update(
    base: float, updates: int, share: float
) -> None:
    warmup = int(share * updates)
    option = Warmup(warmup=f"{warmup} steps", start_factor=0.0, after=Constant())
    resolved = option.resolve(13, updates)
    expected = torch_lrs(lambda o: get_constant_schedule_with_warmup(o, warmup), base, updates)
    for k, lr in enumerate(expected):
        assert_same(resolved.lr(k, base), lr, base, k)


@pytest.mark.parametrize("num_cycles", [0.5, 0.75, 1.0, 1.5])
@pytest.mark.parametrize("warmup", [0, 3])
def test_past_the_end_the_cosine_holds_its_last_value_where_transformers_moves_on(
    num_cycles: float, warmup: int
) -> None:
    option = Warmup(warmup=f"{warmup} steps", after=Cosine(num_cycles=num_cycles))
    resolved = option.resolve(5, 20)
    theirs = torch_lrs(
        lambda o: get_cosine_schedule_with_warmup(o, warmup, 20, num_cycles), 0.1, 30
    )
    assert abs(theirs[30] - theirs[20]) > 0.001
    assert_same(resolved.lr(20, 0.1), theirs[20], 0.1, 20)
    assert {resolved.lr(k, 0.1) for k in range(20, 60)} == {resolved.lr(20, 0.1)}


def test_past_the_end_the_cosine_holds_its_last_value_where_torchs_climbs() -> None:
    resolved = Cosine(eta_min=0.01, interval="epoch").resolve(3, 30)
    theirs = torch_lrs(lambda o: lr_scheduler.CosineAnnealingLR(o, 10, eta_min=0.01), 0.1, 18)
    assert theirs[18] > 0.09
    assert {resolved.lr(k, 0.1) for k in range(30, 60)} == {0.01}


def test_a_drop_is_in_force_at_the_update_it_is_set_for_and_not_before() -> None:
    step = StepLR(step_size=2, gamma=0.5).resolve(5, 50)
    assert [step.lr(k, 0.8) for k in (9, 10, 19, 20)] == [0.8, 0.4, 0.4, 0.2]
    multi = MultiStep(milestones=["7 steps", 2], gamma=0.5).resolve(5, 50)
    assert [multi.lr(k, 0.8) for k in (6, 7, 9, 10, 49)] == [0.8, 0.4, 0.4, 0.2, 0.2]


# Behind a warm-up: any inner schedule, over up to 60 steps.


@st.composite
def inner_options(draw: st.DrawFn) -> Schedule:
    """One of the schedules, with durations in steps and in shares."""
    gamma = draw(factors)
    marks = sorted(draw(st.sets(st.integers(1, 60), min_size=1, max_size=5)))
    size = draw(st.integers(1, 60))
    return draw(
        st.sampled_from(
            [
                Constant(),
                StepLR(step_size=f"{size} steps", gamma=gamma),
                MultiStep(milestones=[f"{mark} steps" for mark in marks], gamma=gamma),
                Exponential(gamma=gamma, every=f"{size} steps"),
                Exponential(gamma=gamma, every=3),
                Cosine(eta_min=draw(st.floats(0, 1e-4)), num_cycles=draw(st.floats(0.1, 3))),
                Cosine(length=f"{size} steps"),
                Plateau(),
            ]
        )
    )


@st.composite
def warmups(draw: st.DrawFn, clock: str | None = None) -> tuple[Warmup, int, int, int]:
    """A warm-up, its length W of at least 1, steps in an epoch and in the run."""
    updates = draw(st.integers(2, 60))
    warmup = draw(st.integers(1, updates - 1))
    option = Warmup(
        warmup=f"{warmup} steps",
        start_factor=draw(st.one_of(st.just(1.0), st.floats(1e-3, 1))),
        shape=draw(st.sampled_from(SHAPES)),
        clock=clock or draw(st.sampled_from(["after", "absolute"])),
        after=draw(inner_options()),
    )
    return option, warmup, draw(st.integers(1, 70)), updates


@drawn
@given(drawn_warmup=warmups(), base=bases)
def test_a_warm_up_starts_at_its_factor_rises_and_is_exactly_the_base_at_its_end(
    drawn_warmup: tuple[Warmup, int, int, int], base: float
) -> None:
    option, warmup, steps_per_epoch, updates = drawn_warmup
    resolved = option.resolve(steps_per_epoch, updates)
    lrs = [resolved.lr(k, base) for k in range(warmup + 1)]
    assert lrs[0] == option.start_factor * base
    assert lrs[warmup] == base
    for lower, upper in itertools.pairwise(lrs):
        assert lower <= upper * (1 + 1e-12)


@drawn
@given(drawn_warmup=warmups(clock="after"), base=bases)
def test_behind_a_warm_up_the_inner_schedule_has_its_own_start_and_the_remaining_length(
    drawn_warmup: tuple[Warmup, int, int, int], base: float
) -> None:
    option, warmup, steps_per_epoch, updates = drawn_warmup
    resolved = option.resolve(steps_per_epoch, updates)
    inner = option.after.resolve(steps_per_epoch, updates - warmup)
    assert math.isclose(inner.lr(0, base), resolved.lr(warmup, base), rel_tol=1e-15)
    for k in range(1, updates - warmup + 20):
        assert resolved.lr(warmup + k, base) == inner.lr(k, base)


@drawn
@given(drawn_warmup=warmups(clock="absolute"), base=bases)
def test_with_the_absolute_clock_the_inner_schedule_counts_from_the_start_of_the_run(
    drawn_warmup: tuple[Warmup, int, int, int], base: float
) -> None:
    option, warmup, steps_per_epoch, updates = drawn_warmup
    resolved = option.resolve(steps_per_epoch, updates)
    inner = option.after.resolve(steps_per_epoch, updates)
    assert resolved.lr(warmup, base) == base
    for k in range(warmup + 1, updates + 20):
        assert resolved.lr(k, base) == inner.lr(k, base)


def test_a_cosine_by_the_absolute_clock_spans_the_whole_run() -> None:
    option = Warmup(warmup=2, clock="absolute", after=Cosine())
    resolved = option.resolve(5, 50)
    for k in range(11, 51):
        expected = 0.4 * (1 + math.cos(math.pi * k / 50))
        assert_same(resolved.lr(k, 0.8), expected, 0.8, k)


def test_a_milestone_at_the_end_of_the_warm_up_acts_one_update_later() -> None:
    option = Warmup(warmup=2, clock="absolute", after=MultiStep(milestones=[2], gamma=0.5))
    resolved = option.resolve(5, 50)
    assert [resolved.lr(k, 0.8) for k in (10, 11)] == [0.8, 0.4]


@drawn
@given(drawn_warmup=warmups(), base=bases, zero=st.sampled_from([0, 0.0, "0 steps", "0%"]))
def test_no_warm_up_is_exactly_the_inner_schedule(
    drawn_warmup: tuple[Warmup, int, int, int], base: float, zero: float | str
) -> None:
    option, _, steps_per_epoch, updates = drawn_warmup
    resolved = replace(option, warmup=zero).resolve(steps_per_epoch, updates)
    inner = option.after.resolve(steps_per_epoch, updates)
    for k in range(updates + 20):
        assert resolved.lr(k, base) == inner.lr(k, base)


@drawn
@given(
    base=bases,
    start=st.floats(1e-3, 1),
    warmup=st.integers(1, 40),
    shape=st.sampled_from(["linear", "constant"]),
)
def test_the_linear_and_the_constant_ramp_equal_torchs(
    base: float, start: float, warmup: int, shape: str
) -> None:
    option = Warmup(warmup=warmup, start_factor=start, shape=shape, after=Constant())
    resolved = option.resolve(1, 50)

    def make(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        if shape == "constant":
            return lr_scheduler.ConstantLR(optimizer, start, warmup)
        return lr_scheduler.LinearLR(optimizer, start, 1.0, warmup)

    for k, expected in enumerate(torch_lrs(make, base, 50)):
        assert_same(resolved.lr(k, base), expected, base, k)


@drawn
@given(base=bases, start=st.floats(1e-3, 0.99), warmup=st.integers(2, 40))
def test_the_exponential_ramp_rises_by_one_ratio_and_the_cosine_ramp_by_half_a_wave(
    base: float, start: float, warmup: int
) -> None:
    options = [
        Warmup(warmup=warmup, start_factor=start, shape=shape, after=Constant())
        for shape in ("exponential", "cosine")
    ]
    exponential, cosine = (option.resolve(1, 50) for option in options)
    ratio = (1 / start) ** (1 / warmup)
    for k in range(warmup):
        grown = exponential.lr(k, base) * ratio
        assert math.isclose(exponential.lr(k + 1, base), grown, rel_tol=1e-12)
        wave = base - base * (1 - start) * math.cos(math.pi * k / warmup / 2) ** 2
        assert math.isclose(cosine.lr(k, base), wave, rel_tol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@settings(drawn, max_examples=15)
@given(data=st.data(), base=bases, warmup=st.integers(1, 8), remaining=st.integers(2, 25))
def test_a_warm_up_in_front_equals_torchs_linear_then_sequential(
    name: str, data: st.DataObject, base: float, warmup: int, remaining: int
) -> None:
    inner, make_inner = draw_pair(data, name, remaining)
    option = Warmup(warmup=warmup, start_factor=0.1, interval="epoch", after=inner)
    resolved = option.resolve(3, 3 * (warmup + remaining))
    # SequentialLR itself is built on a deprecated call, so its two parts run one after the other.
    ramp = torch_lrs(lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, warmup), base, warmup)
    expected = ramp[:-1] + torch_lrs(make_inner, base, remaining)
    for k in range(3 * (warmup + remaining)):
        assert_same(resolved.lr(k, base), expected[k // 3], base, k)


@pytest.mark.parametrize("warmup", [30, 31, "100%", "11700 steps", "12000 steps"])
@pytest.mark.parametrize("clock", ["after", "absolute"])
def test_a_warm_up_that_is_not_shorter_than_the_run_is_an_error(
    warmup: float | str, clock: str
) -> None:
    option = Warmup(warmup=warmup, clock=clock, after=Constant())
    with pytest.raises(ValueError, match=rf"^scheduler\.warmup={warmup}: .* 11700$"):
        option.resolve(390, 30 * 390)


def test_a_warm_up_may_leave_one_update() -> None:
    resolved = Warmup(warmup="9 steps", start_factor=0.0, after=Cosine()).resolve(5, 10)
    assert [resolved.lr(k, 0.5) for k in (0, 9)] == [0.0, 0.5]


# Properties of all.


@drawn
@given(drawn_warmup=warmups(), base=st.floats(0, 10), inner_only=st.booleans())
def test_every_lr_is_finite_and_not_negative_also_past_the_end(
    drawn_warmup: tuple[Warmup, int, int, int], base: float, inner_only: bool
) -> None:
    option, _, steps_per_epoch, updates = drawn_warmup
    chosen = option.after if inner_only else option
    for interval in ("step", "epoch"):
        resolved = replace(chosen, interval=interval).resolve(steps_per_epoch, updates)
        for k in [*range(2 * updates), 10**9]:
            lr = resolved.lr(k, base)
            assert isinstance(lr, float)
            assert math.isfinite(lr)
            assert lr >= 0


@drawn
@given(drawn_warmup=warmups(), base=bases, inner_only=st.booleans())
def test_interval_epoch_is_interval_step_held_from_the_start_of_each_epoch(
    drawn_warmup: tuple[Warmup, int, int, int], base: float, inner_only: bool
) -> None:
    option, _, steps_per_epoch, updates = drawn_warmup
    chosen = option.after if inner_only else option
    smooth = chosen.resolve(steps_per_epoch, updates)
    stairs = replace(chosen, interval="epoch").resolve(steps_per_epoch, updates)
    for k in range(2 * updates):
        first = k // steps_per_epoch * steps_per_epoch
        assert stairs.lr(k, base) == smooth.lr(first, base)


@drawn
@given(drawn_warmup=warmups(), base=bases)
def test_the_lr_depends_on_nothing_but_the_update_and_the_base(
    drawn_warmup: tuple[Warmup, int, int, int], base: float
) -> None:
    option, _, steps_per_epoch, updates = drawn_warmup
    one, other = (option.resolve(steps_per_epoch, updates) for _ in range(2))
    upwards = [one.lr(k, base) for k in range(updates)]
    downwards = [other.lr(k, base) for k in reversed(range(updates))]
    assert upwards == downwards[::-1]


# What is refused, and what is doubted.


@pytest.mark.parametrize(
    ("option", "key"),
    [
        (Constant(interval="batch"), "scheduler.interval=batch"),
        (StepLR(gamma=0.0), "scheduler.gamma=0.0"),
        (StepLR(gamma=1.01), "scheduler.gamma=1.01"),
        (StepLR(gamma=math.nan), "scheduler.gamma=nan"),
        (StepLR(step_size=0), "scheduler.step_size=0"),
        (StepLR(step_size="x"), "scheduler.step_size=x"),
        (MultiStep(gamma=-0.5), "scheduler.gamma=-0.5"),
        (MultiStep(milestones=[]), "scheduler.milestones=[]"),
        (MultiStep(milestones=[0, 4]), "scheduler.milestones=0"),
        (MultiStep(milestones=[4, 2]), "scheduler.milestones=[4, 2]"),
        (MultiStep(milestones=[2, "20 steps"]), "scheduler.milestones=[2, 20 steps]"),
        (Exponential(gamma=2.0), "scheduler.gamma=2.0"),
        (Exponential(every=0), "scheduler.every=0"),
        (Cosine(eta_min=-1e-9), "scheduler.eta_min=-1e-09"),
        (Cosine(eta_min=math.inf), "scheduler.eta_min=inf"),
        (Cosine(num_cycles=0.0), "scheduler.num_cycles=0.0"),
        (Cosine(num_cycles=math.nan), "scheduler.num_cycles=nan"),
        (Cosine(length=0), "scheduler.length=0"),
        (Warmup(shape="steep", after=Constant()), "scheduler.shape=steep"),
        (Warmup(clock="wall", after=Constant()), "scheduler.clock=wall"),
        (Warmup(start_factor=-0.1, after=Constant()), "scheduler.start_factor=-0.1"),
        (Warmup(start_factor=1.1, after=Constant()), "scheduler.start_factor=1.1"),
        (
            Warmup(start_factor=0.0, shape="exponential", after=Constant()),
            "scheduler.start_factor=0.0",
        ),
        (Warmup(after=StepLR(gamma=5.0)), "scheduler.after.gamma=5.0"),
        (Warmup(after=StepLR(step_size=0)), "scheduler.after.step_size=0"),
        (Warmup(after=Constant(interval="epoch")), "scheduler.after.interval=epoch"),
    ],
)
def test_an_impossible_value_is_refused_with_its_key(option: Schedule, key: str) -> None:
    with pytest.raises(ValueError, match=r"scheduler") as error:
        option.resolve(10, 300)
    assert str(error.value).startswith(f"{key}:")


def test_a_run_without_updates_has_no_schedule() -> None:
    for steps_per_epoch, updates in ((0, 10), (10, 0)):
        with pytest.raises(ValueError, match="scheduler"):
            Constant().resolve(steps_per_epoch, updates)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (StepLR(step_size=30), ["scheduler.step_size=30: is not shorter than the 300 steps"]),
        (StepLR(step_size=29), []),
        (MultiStep(milestones=[10, 29]), []),
        (
            MultiStep(milestones=[10, 30, 40]),
            [
                "scheduler.milestones: 30 is at or beyond",
                "scheduler.milestones: 40 is at or beyond",
            ],
        ),
        (
            Warmup(warmup=5, after=MultiStep(milestones=[10, 25])),
            ["scheduler.after.milestones: 25 is at or beyond the end (250 steps)"],
        ),
        (Warmup(warmup=5, clock="absolute", after=MultiStep(milestones=[10, 25])), []),
    ],
)
def test_what_never_takes_effect_is_noted_and_nothing_else(
    option: Schedule, words: list[str]
) -> None:
    warnings = option.resolve(10, 300).notes.warnings
    assert len(warnings) == len(words)
    for line, start in zip(warnings, words, strict=True):
        assert line.startswith(start)


@drawn
@given(drawn_warmup=warmups(), base=bases)
def test_a_ramp_meets_the_base_without_a_jump(
    drawn_warmup: tuple[Warmup, int, int, int], base: float
) -> None:
    option, warmup, steps_per_epoch, updates = drawn_warmup
    assume(option.shape != "constant")
    resolved = option.resolve(steps_per_epoch, updates)
    jump = base - resolved.lr(warmup - 1, base)
    steepest = base * (1 - option.start_factor) / warmup
    if option.shape == "cosine":
        steepest *= math.pi / 2
    if option.shape == "exponential":
        steepest = base * (1 - option.start_factor ** (1 / warmup))
    rounding = 1e-12 * base
    assert -rounding <= jump <= steepest + rounding


def test_importing_and_resolving_schedules_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from trainer.schedules import Cosine, Plateau, Warmup\n"
        "r = Warmup(warmup=5, after=Cosine(eta_min=1e-4)).resolve(390, 30 * 390)\n"
        "assert r.lr(5 * 390, 0.04) == 0.04\n"
        "Warmup(after=Plateau()).resolve(390, 11700).plateau.observe(1.0, 11000)\n"
        "print('torch' in sys.modules)\n"
        "from trainer.schedules import LRSchedule\n"
        "print('torch' in sys.modules)\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert shown.stdout.split() == ["False", "True"]


def test_a_formula_takes_the_letters_of_the_documentation() -> None:
    long = Formula(formula="0.5*(1+cos(pi*t/total))").resolve(10, 100)
    short = Formula(formula="0.5*(1+cos(pi*k/T)) * E/steps_per_epoch").resolve(10, 100)
    assert [short.lr(k, 0.1) for k in range(110)] == pytest.approx(
        [long.lr(k, 0.1) for k in range(110)], abs=1e-15
    )
