"""transformers' names give transformers' values."""

import random
from typing import Any

import pytest
import torch
import transformers
from transformers.trainer_utils import SchedulerType

from trainer.schedules import get_scheduler


def sgd(*lrs: float) -> torch.optim.Optimizer:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in lrs]
    return torch.optim.SGD(groups, lr=lrs[0])


def trace(scheduler: Any, optimizer: torch.optim.Optimizer, updates: int) -> list[list[float]]:
    result: list[list[float]] = []
    for _ in range(updates):
        result.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return result


def drawn(name: str, draw: random.Random) -> tuple[int, int, dict[str, Any]]:
    updates = draw.randint(5, 150)
    warmup = draw.choice([0, 1, draw.randint(0, updates - 2)])
    settings: dict[str, Any] = {}
    if name == "cosine":
        settings = draw.choice([{}, {"num_cycles": draw.choice([0.5, 1.0, 1.5, 2.0])}])
    elif name == "cosine_with_restarts":
        settings = draw.choice([{}, {"num_cycles": draw.choice([1, 2, 4])}])
        updates = warmup + 4 * draw.randint(2, 30)  # see the test of the restarts below
    elif name == "polynomial":
        settings = draw.choice([{}, {"lr_end": 1e-4, "power": draw.uniform(0.5, 3)}])
    elif name == "inverse_sqrt":
        settings = draw.choice([{}, {"timescale": draw.randint(1, 500)}])
    elif name == "cosine_with_min_lr":
        settings = draw.choice([{"min_lr": 1e-3}, {"min_lr_rate": 0.1}])
    elif name == "cosine_warmup_with_min_lr":
        settings = draw.choice(
            [{"min_lr": 1e-3}, {"min_lr_rate": 0.1}, {"min_lr_rate": 0.1, "warmup_lr_rate": 0.2}]
        )
    elif name == "warmup_stable_decay":
        decay = draw.randint(1, updates - warmup)
        settings = {
            "num_decay_steps": decay,
            "warmup_type": draw.choice(["linear", "cosine", "1-sqrt"]),
            "decay_type": draw.choice(["linear", "cosine", "1-sqrt"]),
            "min_lr_ratio": draw.choice([0.0, 0.1]),
        }
    return warmup, updates, settings


NAMES = [t.value for t in SchedulerType if t.value not in ("greedy", "reduce_lr_on_plateau")]


@pytest.mark.parametrize("name", NAMES)
def test_every_update_has_transformers_lr(name: str) -> None:
    draw = random.Random(name)
    for _ in range(25):
        warmup, updates, settings = drawn(name, draw)
        ours, theirs = sgd(0.3), sgd(0.3)
        mine = get_scheduler(name, ours, warmup, updates, **settings)
        other = transformers.get_scheduler(
            name, theirs, warmup, updates, scheduler_specific_kwargs=settings
        )
        left, right = trace(mine, ours, updates), trace(other, theirs, updates)
        for k in range(updates):
            assert left[k] == pytest.approx(right[k], rel=1e-11, abs=1e-15), (k, settings)


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
        left = trace(get_scheduler(name, ours, 3, 20), ours, 20)
        right = trace(transformers.get_scheduler(name, theirs, 3, 20), theirs, 20)
        for a, b in zip(left, right, strict=True):
            assert a == pytest.approx(b, rel=1e-11)


def test_plateau_takes_a_metric_at_each_step() -> None:
    ours, theirs = sgd(0.3), sgd(0.3)
    settings = {"factor": 0.5, "patience": 1}
    mine = get_scheduler("reduce_lr_on_plateau", ours, **settings)
    other = transformers.get_scheduler(
        "reduce_lr_on_plateau", theirs, scheduler_specific_kwargs=settings
    )
    for metric in (1.0, 0.9, 0.9, 0.95, 0.9, 0.8, 0.9, 0.9, 0.9):
        mine.step(metric)
        other.step(metric)
        assert ours.param_groups[0]["lr"] == theirs.param_groups[0]["lr"]


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


def test_past_the_end_the_last_value_holds_where_their_cosine_climbs() -> None:
    ours, theirs = sgd(1.0), sgd(1.0)
    left = trace(get_scheduler("cosine", ours, 0, 10), ours, 25)
    right = trace(transformers.get_scheduler("cosine", theirs, 0, 10), theirs, 25)
    assert left[10:] == [[0.0]] * 15
    assert right[20][0] == pytest.approx(1.0)
