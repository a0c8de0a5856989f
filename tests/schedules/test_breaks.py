"""Every schedule, broken at every boundary, goes on with the very same floats.

`python tests/schedules/test_breaks.py` prints how many combinations were compared.
"""

import itertools
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lr_loops import sgd, through_a_file

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
    LRSchedule,
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

STEPS, EPOCHS = 7, 12
UPDATES = STEPS * EPOCHS
BASES = (0.3, 0.007)
UNITS = ("epochs", "steps", "%")


def duration(epochs: int, unit: str) -> Any:
    """`epochs` epochs, said in a unit; 12 epochs make 8.33 % each, so that unit is rounded."""
    return {"epochs": epochs, "steps": f"{epochs * STEPS} steps", "%": f"{epochs * 25 / 3:.2f}%"}[
        unit
    ]


def options(unit: str, interval: str) -> dict[str, Schedule]:
    """One of each option, its boundaries at whole epochs as far as the unit allows."""

    def d(epochs: int) -> Any:
        return duration(epochs, unit)

    inner = {
        "constant": Constant(),
        "steplr": StepLR(step_size=d(3), gamma=0.5),
        "multistep": MultiStep(milestones=[d(2), d(5)], gamma=0.3),
        "exponential": Exponential(gamma=0.9, every=d(1)),
        "cosine": Cosine(length=d(8), eta_min=1e-3),
        "cosine_restarts": CosineRestarts(t_0=d(2), t_mult=2, peak_decay=0.9),
        "linear": Linear(length=d(8), end_factor=0.1),
        "polynomial": Polynomial(length=d(8), power=1.7),
        "inverse_sqrt": InverseSqrt(timescale=d(2)),
        "plateau": Plateau(patience=1, factor=0.5, cooldown=1),
    }
    warm = {f"warmup_{name}": Warmup(warmup=d(3), after=option) for name, option in inner.items()}
    others = {
        "noam": Noam(warmup=d(3)),
        "wsd": WSD(warmup=d(2), stable=d(5), decay=d(4), decay_shape="1-sqrt", min_factor=0.1),
        "hold_linear": HoldLinear(hold=d(5), decay=d(6)),
        "onecycle": OneCycle(three_phase=True),
        "cyclic": Cyclic(step_size_up=d(1), step_size_down=d(2), mode="triangular2"),
        "phases": Phases(
            phases=[
                {"length": d(3), "schedule": {"name": "linear", "end_factor": 0.5}},
                {"length": d(4), "schedule": {"name": "cosine"}},
                {"schedule": {"name": "constant"}, "factor": 0.1},
            ]
        ),
        "formula": Formula(formula="exp(-t/total) if t < 5 else 0.1"),
    }
    every = inner | warm | others
    for option in every.values():
        option.interval = interval
    for name, option in warm.items():
        option.after.interval = "step"
        assert name.removeprefix("warmup_") == option.after.name
    return every


def metric(epoch: int) -> float:
    """A loss that stops falling twice."""
    return [1.0, 0.9, 0.8, 0.8, 0.8, 0.8, 0.5, 0.5, 0.5, 0.5, 0.4, 0.4][epoch]


def new(
    option: Schedule, bases: Sequence[float] = BASES
) -> tuple[torch.optim.Optimizer, LRSchedule]:
    optimizer = sgd(*bases)
    return optimizer, LRSchedule(optimizer, option, steps_per_epoch=STEPS, epochs=EPOCHS)


def run(optimizer: torch.optim.Optimizer, schedule: LRSchedule, until: int) -> list[list[float]]:
    """LR and momentum in force for each step from where the schedule stands."""
    trace: list[list[float]] = []
    while schedule.last_epoch < until:
        groups = optimizer.param_groups
        trace.append([value for g in groups for value in (g["lr"], g["momentum"])])
        schedule.step()
        epoch, rest = divmod(schedule.last_epoch, STEPS)
        if rest == 0:
            schedule.observe(metric(epoch - 1))
    return trace


def breaks() -> list[int]:
    """k-1, k and k+1 of every whole epoch: every boundary of the options above lies on one."""
    near = {k + shift for k in range(0, UPDATES + 1, STEPS) for shift in (-1, 0, 1)}
    return sorted(k for k in near if 0 <= k < UPDATES)


def resumed(option: Schedule, at: int) -> list[list[float]]:
    """The trace from step `at` on, after a break there through a file."""
    optimizer, schedule = new(option)
    run(optimizer, schedule, at)
    states = through_a_file([optimizer.state_dict(), schedule.state_dict()])
    optimizer, schedule = new(option, (5.0, 6.0))  # the base LRs come from the file
    optimizer.load_state_dict(states[0])
    schedule.load_state_dict(states[1])
    return run(optimizer, schedule, UPDATES)


def compare(unit: str, interval: str) -> tuple[int, float]:
    """Number of combinations of option and break, and the largest deviation."""
    count, largest = 0, 0.0
    for option in options(unit, interval).values():
        whole = run(*new(option), UPDATES)
        for at in breaks():
            rest = resumed(option, at)
            count += 1
            for a, b in zip(whole[at:], rest, strict=True):
                largest = max(largest, *(abs(x - y) for x, y in zip(a, b, strict=True)))
    return count, largest


@pytest.mark.parametrize(("unit", "interval"), [*itertools.product(UNITS, ("step", "epoch"))])
def test_a_schedule_broken_anywhere_goes_on_with_the_same_floats(unit: str, interval: str) -> None:
    count, largest = compare(unit, interval)
    assert largest == 0.0
    assert count == 27 * len(breaks())


def test_a_schedule_broken_many_times_goes_on_with_the_same_floats() -> None:
    draw = random.Random(0)
    for name, option in options("steps", "step").items():
        whole = run(*new(option), UPDATES)
        cuts = [*sorted(draw.sample(range(UPDATES + 1), 6)), UPDATES]
        optimizer, schedule = new(option)
        trace: list[list[float]] = []
        for cut in cuts:
            trace += run(optimizer, schedule, cut)
            states = optimizer.state_dict(), schedule.state_dict()
            optimizer, schedule = new(option)
            optimizer.load_state_dict(states[0])
            schedule.load_state_dict(states[1])
        assert trace == whole, name


def test_every_option_is_among_those_that_are_broken() -> None:
    names = {option.name for option in options("epochs", "step").values()}
    assert names == OPTIONS.keys()


def test_the_traces_do_move() -> None:
    for name, option in options("steps", "step").items():
        lrs = {row[0] for row in run(*new(option), UPDATES)}
        assert (len(lrs) > 1) == (name != "constant"), name


def test_a_break_into_a_new_process_goes_on_with_the_same_floats(tmp_path: Path) -> None:
    chosen = ("warmup_plateau", "onecycle", "cosine_restarts", "phases")
    expected: dict[str, list[list[float]]] = {}
    for name in chosen:
        option = options("steps", "step")[name]
        optimizer, schedule = new(option)
        run(optimizer, schedule, 29)
        torch.save([optimizer.state_dict(), schedule.state_dict()], tmp_path / f"{name}.pt")
        expected[name] = run(optimizer, schedule, UPDATES)
    code = (
        "import sys, torch, test_breaks as t\n"
        "for name in sys.argv[1:]:\n"
        "    optimizer, schedule = t.new(t.options('steps', 'step')[name])\n"
        "    states = torch.load(f'{name}.pt', weights_only=True)\n"
        "    optimizer.load_state_dict(states[0]); schedule.load_state_dict(states[1])\n"
        "    print([[x.hex() for x in row] for row in t.run(optimizer, schedule, t.UPDATES)])\n"
    )
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths}\n{code}", *chosen],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name, line in zip(chosen, done.stdout.splitlines(), strict=True):
        assert line == str([[x.hex() for x in row] for row in expected[name]])


def test_another_lr_table_under_the_same_definition_is_refused() -> None:
    state = new(Cosine())[1].state_dict()
    _, schedule = new(Cosine())
    with pytest.raises(ValueError, match="gives other LRs than the version that saved it"):
        schedule.load_state_dict(state | {"table_sha256": "0" * 64})
    assert schedule.last_epoch == 0


if __name__ == "__main__":
    total, worst = 0, 0.0
    for one_unit, one_interval in itertools.product(UNITS, ("step", "epoch")):
        number, deviation = compare(one_unit, one_interval)
        total, worst = total + number, max(worst, deviation)
    print(f"{total} combinations of option, unit, interval and break; largest deviation {worst}")
