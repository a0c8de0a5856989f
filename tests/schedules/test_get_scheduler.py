"""transformers' names give transformers' values."""

import inspect
import itertools
import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from lr_loops import sgd, traced
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.trainer_utils import SchedulerType

from trainer.schedules import get_scheduler

NAMES = [t.value for t in SchedulerType if t.value not in ("greedy", "reduce_lr_on_plateau")]


def test_the_names_are_transformers_own_and_greedy_is_refused_by_name() -> None:
    for kind in SchedulerType:
        if kind.value == "greedy":
            with pytest.raises(ValueError, match="greedy: raises the LR from the loss"):
                get_scheduler(kind, sgd(0.1), 1, 10)
        else:
            extra = {"num_decay_steps": 3} if kind.value == "warmup_stable_decay" else {}
            extra |= {"min_lr_rate": 0.1} if "min_lr" in kind.value else {}
            get_scheduler(kind, sgd(0.1), 1, 10, scheduler_specific_kwargs=extra)
    with pytest.raises(ValueError, match="kosinus: must be one of linear"):
        get_scheduler("kosinus", sgd(0.1), 1, 10)
    with pytest.raises(ValueError, match="linear requires num_training_steps"):
        get_scheduler("linear", sgd(0.1), 1)
    with pytest.raises(TypeError, match="power"):
        get_scheduler("linear", sgd(0.1), 1, 10, power=2)


def test_several_groups_keep_their_own_peaks() -> None:
    for name in ("linear", "cosine", "inverse_sqrt", "constant_with_warmup"):
        ours, theirs = sgd(0.3, 0.01), sgd(0.3, 0.01)
        left = traced(ours, get_scheduler(name, ours, 3, 20), 20)
        right = traced(theirs, transformers.get_scheduler(name, theirs, 3, 20), 20)
        for a, b in zip(left, right, strict=True):
            assert a == pytest.approx(b, rel=1e-11)


def test_restarts_are_counted_in_integers_where_theirs_depend_on_rounding() -> None:
    """(c * p) % 1 in floats misses a restart where c * (1 / c) is below 1, as for 49 cycles."""
    missed = 0
    for cycles in (3, 49, 98):
        for length in (2, 3, 10):
            updates = cycles * length
            ours, theirs = sgd(1.0), sgd(1.0)
            name = "cosine_with_restarts"
            mine = get_scheduler(name, ours, 0, updates, num_cycles=cycles)
            other = transformers.get_scheduler(
                name, theirs, 0, updates, scheduler_specific_kwargs={"num_cycles": cycles}
            )
            factor = other.lr_lambdas[0]
            for k in range(0, updates, length):
                assert mine.lrs(k) == [1.0]
                missed += factor(k) < 0.5
    assert missed > 0  # else this test is no longer needed


# What a caller may give for a parameter of theirs, the odd things among it.
GIVEN: dict[str, list[Any]] = {
    "last_epoch": [-1],
    "num_cycles": [0.5, 1, 1.0, 2, 3, 1.5, 0.25, 0, -0.5],
    "lr_end": [0, 1e-7, 1e-3, -0.01, 0.3, 0.5],
    "power": [1, 2.0, 0.5, 3, 0, -1],
    "timescale": [None, 1, 50, 50.0, 2.5, 0, -30],
    "min_lr": [None, 0, 1e-3, 0.6, -0.1],
    "min_lr_rate": [None, 0, 0.1, 1, 1.5, -0.2],
    "warmup_lr_rate": [None, 0, 0.2, 1, 1.5, -0.5],
    "num_decay_steps": [0, 1, 5, 5.0, 7.5, 60, -2],
    "num_stable_steps": [None, 0, 3, 4.0, 2.5, 60, -2],
    "warmup_type": ["linear", "cosine", "1-sqrt", "exponential"],
    "decay_type": ["linear", "cosine", "1-sqrt", "exponential"],
    "min_lr_ratio": [0, 0.1, 1.0, 1.5, -0.1],
    "mode": ["min", "max", "most"],
    "factor": [0.1, 0.5, 0, -0.5, 1, 1.5],
    "patience": [0, 1, 3, 1.5, -1],
    "threshold": [0, 1e-4, 0.1, -0.1],
    "threshold_mode": ["rel", "abs", "ratio"],
    "cooldown": [0, 1, 2.0, -1],
    "eps": [0, 1e-8, 0.01, -1],
}
PLATEAU_FLOORS = [0, 1e-3, 0.6, -0.1, [0.01]]
OURS = [*NAMES, "reduce_lr_on_plateau"]


def numbers_of_steps(draw: random.Random) -> tuple[Any, Any]:
    """num_warmup_steps and num_training_steps: mostly sound, whole or not; sometimes odd."""
    steps = draw.randint(1, 40)
    warmup = draw.randint(0, steps)
    return (
        draw.choice([warmup, warmup, float(warmup), 0, 0.1 * steps, steps + 3, -2, 0.5, None]),
        draw.choice([steps, steps, float(steps), steps, steps + 0.5, 0, -3, None]),
    )


def parameters_of(name: str, draw: random.Random) -> dict[str, Any]:
    known = list(inspect.signature(TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(name)]).parameters)
    if name == "reduce_lr_on_plateau":
        known = list(inspect.signature(torch.optim.lr_scheduler.ReduceLROnPlateau).parameters)
    asked = [key for key in known if key not in ("optimizer", *STEP_COUNTS)]
    share = draw.choice([0.2, 0.5, 0.9])
    given = {key: draw.choice(GIVEN[key]) for key in asked if draw.random() < share}
    if "min_lr" in given and name == "reduce_lr_on_plateau":
        given["min_lr"] = draw.choice(PLATEAU_FLOORS)
    if "min_lr" in known and "min_lr_rate" in given and draw.random() < 0.7:
        given.pop("min_lr", None)
    if draw.random() < 0.03:  # one that only another schedule has
        key = draw.choice([key for key in GIVEN if key not in known])
        given[key] = draw.choice(GIVEN[key])
    return given


STEP_COUNTS = ("num_warmup_steps", "num_training_steps")


def outcome(get: Callable[..., Any], name: str, call: tuple[Any, ...], base: float) -> Any:
    """The LRs of the steps up to the end, cut off by an exception; or the refusal."""
    optimizer = sgd(base)
    warmup, steps, given, metrics = call
    lrs: list[float] = []
    try:
        scheduler = get(name, optimizer, warmup, steps, dict(given))
        for k in range(60 if steps is None else max(1, min(math.ceil(steps), 60))):
            if k and name == "reduce_lr_on_plateau":
                scheduler.step(metrics[k])
            elif k:
                scheduler.step()
            lrs.append(optimizer.param_groups[0]["lr"])
    except (ValueError, TypeError, ArithmeticError) as error:
        return lrs, error
    return lrs, None


def assert_random_calls_agree(seed: int, calls: int) -> tuple[int, int]:
    """Compares with theirs; the numbers of calls that were taken and refused."""
    draw = random.Random(seed)
    taken = refused = 0
    for name in itertools.islice(itertools.cycle(OURS), calls):
        metrics = [draw.choice([1.0, 0.5, 0.45, 2.0, math.nan]) for _ in range(60)]
        call = (*numbers_of_steps(draw), parameters_of(name, draw), metrics)
        base = draw.choice([0.3, 0.4, 1.0])
        left, mine = outcome(get_scheduler, name, call, base)
        right, other = outcome(transformers.get_scheduler, name, call, base)
        said = (name, call[:3], base, mine, other)
        assert (mine is None) == (other is None), said
        assert len(left) == len(right), said
        warmup, steps, given, _ = call
        for k, (a, b) in enumerate(zip(left, right, strict=True)):
            if name == "cosine_with_restarts" and steps:  # theirs depends on rounding at a restart
                cycles = given.get("num_cycles", 1) * (k - warmup) / max(1, steps - warmup)
                if round(cycles) and abs(cycles - round(cycles)) < 1e-9:
                    continue
            assert a == pytest.approx(b, rel=1e-11, abs=1e-15), (k, *said)
        taken, refused = taken + (other is None), refused + (other is not None)
    return taken, refused


@pytest.fixture
def _unwarned() -> Any:
    with warnings.catch_warnings():  # order of steps; both counts given
        warnings.simplefilter("ignore")
        yield


@pytest.mark.usefixtures("_unwarned")
def test_ten_thousand_random_calls_get_their_lrs_or_are_refused_as_by_them() -> None:
    taken, refused = assert_random_calls_agree(seed=0, calls=10_000)
    assert taken > 5000
    assert refused > 2000


@pytest.mark.parametrize(
    ("name", "warmup", "steps", "given", "said"),
    [
        ("polynomial", 1, 10, {"lr_end": 0.2}, r"^lr_end=0.2: must be below the LR, 0.1"),
        ("cosine_with_min_lr", 1, 10, {}, "^give one of min_lr and min_lr_rate"),
        ("warmup_stable_decay", 1, 10, {"num_decay_steps": 3, "decay_type": "x"}, "^decay_type=x"),
        ("warmup_stable_decay", 1, 10, {"num_decay_steps": 3, "warmup_type": "x"}, "^warmup_type="),
        (
            "warmup_stable_decay",
            1,
            None,
            {"num_decay_steps": 3},
            "^give one of num_training_steps and num_st",
        ),
        ("reduce_lr_on_plateau", None, None, {"factor": 1.5}, "^factor=1.5: must be below 1"),
        ("reduce_lr_on_plateau", None, None, {"mode": "x"}, "^mode=x: must be min or max"),
        ("reduce_lr_on_plateau", None, None, {"min_lr": [0.1, 0.2]}, r"^min_lr=\[0.1, 0.2\]"),
        ("linear", 1, math.inf, {}, "^num_training_steps=inf: must be finite"),
    ],
)
def test_a_refusal_speaks_of_the_callers_arguments(
    name: str, warmup: Any, steps: Any, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        get_scheduler(name, sgd(0.1), warmup, steps, given)


def test_a_whole_float_is_the_number_to_the_bit() -> None:
    ours, floats = sgd(0.3), sgd(0.3)
    given = {"num_decay_steps": 4, "min_lr_ratio": 0.1}
    one = get_scheduler("warmup_stable_decay", ours, 3, 13, given)
    other = get_scheduler(
        "warmup_stable_decay", floats, 3.0, 13.0, given | {"num_decay_steps": 4.0}
    )
    assert one.state_dict() == other.state_dict()


def test_a_schedule_of_odd_numbers_is_saved_loaded_and_ends_where_the_training_does() -> None:
    ours = sgd(0.3)
    schedule = get_scheduler("linear", ours, 0.1 * 15, 15.5)
    traced(ours, schedule, 8)
    again = get_scheduler("linear", sgd(0.3), 0.1 * 15, 15.5)
    again.load_state_dict(schedule.state_dict())
    assert again.get_last_lr() == schedule.get_last_lr()
    assert schedule.lrs(16) == schedule.lrs(99) == [0.0]
    with pytest.raises(ValueError, match=r"was saved with scheduler\.warmup=1\.5"):
        get_scheduler("linear", sgd(0.3), 2.5, 15.5).load_state_dict(schedule.state_dict())


def test_a_position_to_start_from_is_taken_as_theirs_is() -> None:
    ours, theirs = sgd(0.3), sgd(0.3)
    get: Callable[..., Any]
    for optimizer, get in ((ours, get_scheduler), (theirs, transformers.get_scheduler)):
        with pytest.raises(KeyError, match="initial_lr"):
            get("cosine", optimizer, 2, 20, {"last_epoch": 4})
        optimizer.param_groups[0]["initial_lr"] = 0.3
    mine = get_scheduler("cosine", ours, 2, 20, {"last_epoch": 4})
    other = transformers.get_scheduler("cosine", theirs, 2, 20, {"last_epoch": 4})
    assert mine.last_epoch == other.last_epoch == 5
    assert mine.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-11)
