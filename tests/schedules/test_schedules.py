"""Every schedule equals its source at every step: torch, transformers, or a published formula."""

import math
import subprocess
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from lr_loops import MakeTorch, sgd, torch_lrs
from torch.optim import lr_scheduler
from transformers.optimization import get_cosine_schedule_with_warmup

from trainer.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Cyclic,
    Exponential,
    HoldLinear,
    InverseSqrt,
    Linear,
    LRSchedule,
    MultiStep,
    Noam,
    OneCycle,
    Polynomial,
    Schedule,
    StepLR,
    Warmup,
)

# Relative to torch's value, and to the base LR near 0: torch's recursions drift, some by more.
CLOSE = dict.fromkeys(("constant", "steplr", "multistep", "exponential", "cosine"), (1e-12, 1e-14))
DRIFTING = dict.fromkeys(("linear", "polynomial", "cosine_restarts"), (1e-10, 1e-12))
BY_STEP_ONLY = dict.fromkeys(("onecycle", "cyclic"), (1e-10, 1e-12))


def pair(name: str, draw: Random, length: int, unit: str) -> tuple[Schedule, MakeTorch]:
    """One of our schedules and torch's, whose step is one `unit`, drawn for `length` of them."""
    gamma, floor = draw.uniform(0.05, 1), draw.choice([0.0, draw.uniform(0, 1e-4)])
    size, first = draw.randint(1, length + 2), draw.randint(1, 20)
    if name == "constant":
        return Constant(), lambda o: lr_scheduler.LambdaLR(o, lambda _: 1.0)
    if name == "steplr":
        option = StepLR(step_size=f"{size} {unit}", gamma=gamma)
        return option, lambda o: lr_scheduler.StepLR(o, size, gamma)
    if name == "multistep":
        marks = sorted(draw.sample(range(1, length + 3), min(draw.randint(1, 6), length)))
        option = MultiStep(milestones=[f"{mark} {unit}" for mark in marks], gamma=gamma)
        return option, lambda o: lr_scheduler.MultiStepLR(o, marks, gamma)
    if name == "exponential":
        return Exponential(gamma=gamma, every=f"1 {unit}"), lambda o: lr_scheduler.ExponentialLR(
            o, gamma
        )
    if name == "cosine":
        return Cosine(eta_min=floor), lambda o: lr_scheduler.CosineAnnealingLR(o, length, floor)
    if name == "linear":
        start, end = draw.uniform(0.01, 1), draw.uniform(0, 1)
        option = Linear(start_factor=start, end_factor=end, length=f"{size} {unit}")
        return option, lambda o: lr_scheduler.LinearLR(o, start, end, size)
    if name == "polynomial":
        power = draw.choice([0.5, 1.0, 2.0, draw.uniform(0.3, 4)])
        option = Polynomial(power=power, lr_end=0.0, length=f"{size} {unit}")
        return option, lambda o: lr_scheduler.PolynomialLR(o, size, power)
    if name == "cosine_restarts":
        growth, floor = draw.randint(1, 3), draw.choice([0.0, 1e-3])
        option = CosineRestarts(t_0=f"{first} {unit}", t_mult=growth, eta_min=floor)
        return option, lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, first, growth, floor)
    if name == "onecycle":
        shape: dict[str, Any] = {
            "pct_start": draw.choice([0.3, 0.45, draw.uniform(0.15, 0.48)]),
            "div_factor": draw.uniform(1, 50),
            "final_div_factor": draw.uniform(1, 1e4),
            "three_phase": draw.random() < 0.5,
            "base_momentum": draw.uniform(0.5, 0.85),
            "max_momentum": draw.uniform(0.86, 0.99),
        }
        top, anneal = draw.uniform(1e-3, 2), draw.choice(["cos", "linear"])
        return OneCycle(max_lr=top, anneal=anneal, **shape), lambda o: lr_scheduler.OneCycleLR(
            o, top, total_steps=length, anneal_strategy=anneal, **shape
        )
    down = draw.choice([None, draw.randint(1, 30)])
    low, high, gamma = draw.uniform(1e-4, 0.1), draw.uniform(0.1, 2), draw.uniform(0.9, 1)
    mode: Any = draw.choice(["triangular", "triangular2", "exp_range"])
    option = Cyclic(
        base_lr=low, max_lr=high, mode=mode, gamma=gamma, step_size_up=f"{first} steps",
        step_size_down=None if down is None else f"{down} steps",
    )  # fmt: skip
    return option, lambda o: lr_scheduler.CyclicLR(o, low, high, first, down, mode, gamma)


@pytest.mark.parametrize("name", CLOSE | DRIFTING | BY_STEP_ONLY)
def test_each_step_has_torchs_lr_and_momentum(name: str) -> None:
    rel, near_zero = (CLOSE | DRIFTING | BY_STEP_ONLY)[name]
    draw = Random(name)
    for _ in range(60):
        base, length, steps = draw.uniform(1e-3, 2), draw.randint(8, 120), draw.randint(1, 80)
        option, make = pair(name, draw, length, "steps")
        optimizer = sgd(base)
        scheduler, resolved = make(optimizer), option.resolve(steps, length)
        for k in range(length):
            (theirs,) = optimizer.param_groups
            said = (k, option)
            assert resolved.lr(k, base) == pytest.approx(
                theirs["lr"], rel=rel, abs=near_zero * base
            ), said
            if resolved.momentum is not None:
                assert resolved.momentum(k) == pytest.approx(theirs["momentum"], rel=1e-12), said
            optimizer.step()
            if k < length - 1:
                scheduler.step()


@pytest.mark.parametrize("name", CLOSE | DRIFTING)
def test_interval_epoch_is_torchs_stepped_once_an_epoch(name: str) -> None:
    rel, near_zero = (CLOSE | DRIFTING)[name]
    draw = Random(name)
    for _ in range(40):
        base, epochs, steps = draw.uniform(1e-3, 2), draw.randint(1, 30), draw.randint(1, 9)
        option, make = pair(name, draw, epochs, "epochs")
        option.interval = "epoch"
        resolved = option.resolve(steps, epochs * steps)
        expected = torch_lrs(make, base, epochs)
        for k in range(epochs * steps):
            assert resolved.lr(k, base) == pytest.approx(
                expected[k // steps], rel=rel, abs=near_zero * base
            ), (k, option)


@pytest.mark.parametrize("shape", ["linear", "constant"])
@pytest.mark.parametrize("name", [*CLOSE, "polynomial", "cosine_restarts"])  # begin at the base
def test_a_warm_up_in_front_is_torchs_ramp_and_then_its_schedule(name: str, shape: str) -> None:
    draw = Random(name + shape)
    for _ in range(15):
        base, start, warmup = draw.uniform(1e-3, 2), draw.uniform(1e-3, 1), draw.randint(1, 8)
        remaining = draw.randint(2, 25)
        after, make = pair(name, draw, remaining, "epochs")
        option = Warmup(
            warmup=warmup, start_factor=start, shape=shape, interval="epoch", after=after
        )
        resolved = option.resolve(3, 3 * (warmup + remaining))

        def ramp(o: torch.optim.Optimizer, start: float = start, warmup: int = warmup) -> Any:
            if shape == "constant":
                return lr_scheduler.ConstantLR(o, start, warmup)
            return lr_scheduler.LinearLR(o, start, 1.0, warmup)

        # SequentialLR itself is built on a deprecated call: its two parts, one after the other.
        expected = torch_lrs(ramp, base, warmup) + torch_lrs(make, base, remaining)
        for k in range(3 * (warmup + remaining)):
            assert resolved.lr(k, base) == pytest.approx(
                expected[k // 3], rel=1e-10, abs=1e-12 * base
            ), (k, option)


def half_wave(share: float) -> float:
    return (1 + math.cos(math.pi * share)) / 2


def cyclegan(epoch: int, hold: int, decay: int) -> float:
    """The published lambda, without its negative tail."""
    return max(0.0, 1.0 - max(0, epoch + 1 - hold) / float(decay + 1))


def warm(shape: str, **settings: Any) -> Warmup:
    return Warmup(warmup="20 steps", start_factor=0.1, shape=shape, **settings)


# Option; what it makes of a base LR of 0.3 in step k of 60, of which 5 are an epoch.
FORMULAS: dict[str, tuple[Schedule, Callable[[int], float]]] = {
    "exponential, between its durations": (
        Exponential(gamma=0.3, every=4), lambda k: 0.3 * 0.3 ** (k / 20)),
    "cosine, of its own length": (
        Cosine(eta_min=0.01, num_cycles=1.3, length="41 steps"),
        lambda k: 0.01 + 0.29 * half_wave(2 * 1.3 * min(k, 41) / 41)),
    "restarts by their number": (
        CosineRestarts(num_cycles=3, eta_min=0.01, peak_decay=0.5),
        lambda k: 0.01 if k >= 60 else
        0.01 + (0.3 * 0.5 ** (k // 20) - 0.01) * half_wave(k % 20 / 20)),
    "noam": (
        Noam(d_model=512, warmup="20 steps"),
        lambda k: 0.3 * 512**-0.5 * min((k + 1) ** -0.5, (k + 1) * 20**-1.5)),
    "hold_linear": (
        HoldLinear(hold=5, decay=7, interval="epoch"), lambda k: 0.3 * cyclegan(k // 5, 5, 7)),
    "hold_linear without a hold": (
        HoldLinear(hold=0, decay=12, interval="epoch"), lambda k: 0.3 * cyclegan(k // 5, 0, 12)),
    "inverse_sqrt": (
        InverseSqrt(timescale="16 steps"), lambda k: 0.3 / math.sqrt((k + 16) / 16)),
    "inverse_sqrt, its time scale the warm-up": (
        Warmup(warmup="16 steps", start_factor=0.0, after=InverseSqrt()),
        lambda k: 0.3 * (k / 16 if k < 16 else math.sqrt(16 / k))),
    "a ramp by one ratio": (
        warm("exponential", after=Constant()), lambda k: 0.3 * 0.1 ** max(1 - k / 20, 0)),
    "a ramp by half a wave": (
        warm("cosine", after=Constant()),
        lambda k: 0.3 * (1 - 0.9 * half_wave(min(k / 20, 1)))),
    "a cosine by the clock of the run": (
        warm("linear", clock="absolute", after=Cosine()),
        lambda k: 0.3 * (0.1 + 0.9 * k / 20 if k <= 20 else half_wave(min(k / 60, 1)))),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_each_step_has_the_lr_of_the_published_formula(name: str) -> None:
    option, formula = FORMULAS[name]
    resolved = option.resolve(5, 60)
    for k in range(70):
        assert resolved.lr(k, 0.3) == pytest.approx(formula(k), rel=1e-12, abs=1e-15), k


@pytest.mark.parametrize("num_cycles", [0.5, 0.75, 1.0, 1.5])
@pytest.mark.parametrize("warmup", [0, 3])
def test_past_the_end_the_last_value_holds_where_transformers_cosine_moves_on(
    num_cycles: float, warmup: int
) -> None:
    option = Warmup(warmup=f"{warmup} steps", after=Cosine(num_cycles=num_cycles))
    resolved = option.resolve(5, 20)
    theirs = torch_lrs(
        lambda o: get_cosine_schedule_with_warmup(o, warmup, 20, num_cycles), 0.1, 31
    )
    assert abs(theirs[30] - theirs[20]) > 0.001
    assert resolved.lr(20, 0.1) == pytest.approx(theirs[20], abs=1e-15)
    assert {resolved.lr(k, 0.1) for k in range(20, 60)} == {resolved.lr(20, 0.1)}


def test_past_the_end_the_last_value_holds_where_torchs_climb_or_fall_below_zero() -> None:
    resolved = Cosine(eta_min=0.01, interval="epoch").resolve(3, 30)
    theirs = torch_lrs(lambda o: lr_scheduler.CosineAnnealingLR(o, 10, eta_min=0.01), 0.1, 19)
    assert theirs[18] > 0.09
    assert {resolved.lr(k, 0.1) for k in range(30, 60)} == {0.01}
    resolved = OneCycle(max_lr=1.0, anneal="linear").resolve(1, 10)
    assert resolved.lr(10, 0.1) == resolved.lr(9, 0.1) == pytest.approx(1 / 25 / 1e4)
    assert resolved.lr(1000, 0.1) == resolved.lr(9, 0.1)
    for share in (0.0, 0.1, 1.0):  # 0.1 * 10 - 1 = 0 divides by zero in torch
        lrs = [OneCycle(max_lr=1.0, pct_start=share).resolve(1, 10).lr(k, 0.1) for k in range(12)]
        assert all(math.isfinite(lr) and 0 <= lr <= 1 for lr in lrs)


def test_restarts_have_the_peak_where_torchs_random_access_misses_it() -> None:
    """Its `step(t)` takes a float logarithm and lands just before the restart."""
    for first, factor, restart in ((1, 3, 121), (10, 3, 1210), (7, 3, 847), (2, 10, 222)):
        resolved = CosineRestarts(t_0=f"{first} steps", t_mult=factor).resolve(1, restart + 2)
        assert resolved.lr(restart, 0.1) == 0.1
        assert resolved.lr(restart - 1, 0.1) < 0.1
    by_number = CosineRestarts(num_cycles=3, eta_min=0.01, peak_decay=0.5).resolve(1, 99)
    assert [by_number.lr(k, 1.0) for k in (0, 33, 66)] == [1.0, 0.5, 0.25]


def test_a_boundary_acts_at_its_own_step_and_not_before() -> None:
    step = StepLR(step_size=2, gamma=0.5).resolve(5, 50)
    assert [step.lr(k, 0.8) for k in (9, 10, 19, 20)] == [0.8, 0.4, 0.4, 0.2]
    multi = MultiStep(milestones=["7 steps", 2], gamma=0.5).resolve(5, 50)
    assert [multi.lr(k, 0.8) for k in (6, 7, 9, 10, 49)] == [0.8, 0.4, 0.4, 0.2, 0.2]
    # at the end of a warm-up, where the LR is the base, one step later
    behind = Warmup(warmup=2, clock="absolute", after=MultiStep(milestones=[2], gamma=0.5))
    assert [behind.resolve(5, 50).lr(k, 0.8) for k in (10, 11)] == [0.8, 0.4]
    last = Warmup(warmup="9 steps", start_factor=0.0, after=Cosine()).resolve(5, 10)
    assert [last.lr(k, 0.5) for k in (0, 9)] == [0.0, 0.5]


def test_cycled_momentum_reaches_sgd_and_adam_and_is_refused_elsewhere() -> None:
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = sgd(0.1)
    schedule = LRSchedule(optimizer, OneCycle(), steps_per_epoch=10, epochs=1)
    assert optimizer.param_groups[0]["momentum"] == 0.95
    for _ in range(2):
        schedule.step()
    assert optimizer.param_groups[0]["momentum"] == schedule.momentum(2) == pytest.approx(0.85)
    adam = torch.optim.Adam([parameter], lr=0.1, betas=(0.5, 0.9))
    LRSchedule(adam, OneCycle(), steps_per_epoch=10, epochs=1)
    assert adam.param_groups[0]["betas"] == (0.95, 0.9)
    with pytest.raises(ValueError, match="no momentum to cycle"):
        LRSchedule(torch.optim.Adagrad([parameter]), OneCycle(), steps_per_epoch=10, epochs=1)
    with pytest.raises(ValueError, match=r"after.cycle_momentum=true: only the outermost"):
        Warmup(warmup="2 steps", after=Cyclic()).resolve(10, 100)
    calm = Cyclic(cycle_momentum=False)
    assert Warmup(warmup="2 steps", after=calm).resolve(10, 100).momentum is None
    assert Constant().resolve(10, 100).momentum is None


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
