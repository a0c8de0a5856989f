"""Every schedule, broken at every boundary, goes on with the very same floats.

`python tests/schedules/test_breaks.py` prints how many combinations were compared.
"""

import itertools
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from every_schedule import UNITS, metric, one_of_each
from lr_loops import sgd, through_a_file

from trainer.schedules import Cosine, LRSchedule, Schedule
from trainer.schedules.options import OPTIONS

STEPS, EPOCHS = 7, 12
UPDATES = STEPS * EPOCHS
BASES = (0.3, 0.007)


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
    for option in one_of_each(unit, interval, STEPS).values():
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
    for name, option in one_of_each("steps", "step", STEPS).items():
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
    names = {option.name for option in one_of_each("epochs", "step", STEPS).values()}
    assert names == OPTIONS.keys()


def test_the_traces_do_move() -> None:
    for name, option in one_of_each("steps", "step", STEPS).items():
        lrs = {row[0] for row in run(*new(option), UPDATES)}
        assert (len(lrs) > 1) == (name != "constant"), name


def test_a_break_into_a_new_process_goes_on_with_the_same_floats(tmp_path: Path) -> None:
    chosen = ("warmup_plateau", "onecycle", "cosine_restarts", "phases")
    expected: dict[str, list[list[float]]] = {}
    for name in chosen:
        option = one_of_each("steps", "step", STEPS)[name]
        optimizer, schedule = new(option)
        run(optimizer, schedule, 29)
        torch.save([optimizer.state_dict(), schedule.state_dict()], tmp_path / f"{name}.pt")
        expected[name] = run(optimizer, schedule, UPDATES)
    code = (
        "import sys, torch, test_breaks as t\n"
        "for name in sys.argv[1:]:\n"
        "    optimizer, schedule = t.new(t.one_of_each('steps', 'step', t.STEPS)[name])\n"
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
