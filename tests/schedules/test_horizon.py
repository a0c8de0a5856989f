"""A run that gets another length: each choice does what it says, and only when it is asked."""

import math
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lr_loops import lrs_in, sgd, through_a_file

from trainer.schedules import (
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    LRSchedule,
    MultiStep,
    OneCycle,
    Plateau,
    ResolvedSchedule,
    Schedule,
    StepLR,
    Warmup,
)
from trainer.schedules.horizon import CHOICES, first_difference

STEPS, EPOCHS = 2, 10
OLD = STEPS * EPOCHS  # 20 steps
BASES = (0.8, 0.02)
# An LR as a function of the step, for a base of 1.
Curve = Callable[[int], float]


def schedule_of(option: Schedule, at: int = 0, epochs: int = EPOCHS) -> LRSchedule:
    """A schedule over 20 steps, `at` of them done."""
    schedule = LRSchedule(sgd(*BASES), option, steps_per_epoch=STEPS, epochs=epochs)
    for _ in range(at):
        schedule.step()
    return schedule


def assert_follows(schedule: LRSchedule, expected: Curve, until: int) -> None:
    for k in range(until):
        assert schedule.lrs(k) == pytest.approx(
            [base * expected(k) for base in BASES], rel=1e-12, abs=1e-15
        ), k
    assert lrs_in(schedule.optimizer) == schedule.get_last_lr() == schedule.lrs(schedule.last_epoch)


def wave(k: int, length: int) -> float:
    """Half a cosine wave from 1 to 0."""
    return (1 + math.cos(math.pi * k / length)) / 2


# A cosine over 20 steps, changed at step 8 to 30 steps.
LONGER: dict[str, Curve] = {
    "hold": lambda k: wave(min(k, 19), 20),
    "continue": lambda k: wave(min(k, 20), 20),
    "stretch": lambda k: wave(k, 20) if k < 8 else wave(min(k, 30), 30),
    "restart": lambda k: wave(k, 20) if k < 20 else wave(min(k - 20, 10), 10),
    "tail": lambda k: wave(k, 20) if k < 8 else wave(8, 20) * max(30 - k, 0) / 22,
}


@pytest.mark.parametrize("choice", CHOICES)
def test_a_longer_run_follows_the_choice(choice: str) -> None:
    schedule = schedule_of(Cosine(), at=8)
    expected = LONGER[choice]
    before, after = schedule.change_epochs(15, choice) or ([], [])
    assert before == pytest.approx([base * wave(8, 20) for base in BASES])
    assert after == pytest.approx([base * expected(8) for base in BASES])
    assert (schedule.updates, schedule.resolved.updates) == (30, 30)
    for _ in range(2):
        assert_follows(schedule, expected, 40)
        while schedule.last_epoch < 30:
            schedule.step()


# Options, and what the LR of a base of 0.8 or 0.02 decays to. The curves of a given length are
# compared with their sources elsewhere; here they are the parts that a choice puts together.
CHANGED: list[tuple[Schedule, float]] = [
    (Constant(), 0.0),  # nothing has to be asked, and the choice is followed all the same
    (Cosine(eta_min=1e-3), 1e-3),
    (Cosine(interval="epoch"), 0.0),
    (Warmup(warmup="20%", start_factor=0.5, after=Cosine(eta_min=0.01)), 0.01),
    (Warmup(warmup="50%", start_factor=0.0, after=Constant()), 0.0),
    (StepLR(step_size="20%", gamma=0.5, interval="epoch"), 0.0),
    (Warmup(warmup="30%", interval="epoch", after=MultiStep(milestones=["50%"], gamma=0.5)), 0.0),
    (OneCycle(), 0.0),
    (OneCycle(three_phase=True, interval="epoch"), 0.0),
    (Cyclic(step_size_up=2), 0.0),
    (Cyclic(step_size_up="15%", step_size_down="3 steps", interval="epoch"), 0.0),
]


def values_of(schedule: ResolvedSchedule | LRSchedule, steps: int) -> list[list[float | None]]:
    """The LRs of both groups, and the momentum, of each step."""
    momentum = schedule.momentum or (lambda _: None)
    if isinstance(schedule, LRSchedule):
        return [[*schedule.lrs(k), momentum(k)] for k in range(steps)]
    return [[*(schedule.lr(k, base) for base in BASES), momentum(k)] for k in range(steps)]


@pytest.mark.parametrize("epochs", [15, 7])
@pytest.mark.parametrize("at", [5, 8, 9, OLD])
@pytest.mark.parametrize("choice", ["hold", "continue", "stretch", "restart"])
@pytest.mark.parametrize("option", [option for option, _ in CHANGED])
def test_lr_and_momentum_are_put_together_by_the_choice(
    option: Schedule, choice: str, at: int, epochs: int
) -> None:
    end = epochs * STEPS
    if end < (OLD if choice == "restart" else at):
        return  # there is no such change
    schedule, planned = schedule_of(option, at), values_of(option.resolve(STEPS, OLD), 30)
    schedule.change_epochs(epochs, choice)
    expected = planned[:end]
    whole = option.interval == "epoch"  # such a curve moves at whole epochs
    if choice == "hold":
        expected = (planned[:OLD] + [planned[OLD - 1]] * 10)[:end]
    if choice == "stretch":
        first = math.ceil(at / STEPS) * STEPS if whole else at
        expected = planned[:first] + values_of(option.resolve(STEPS, end), end)[first:]
    if choice == "restart":
        expected = planned[:OLD] + values_of(option.resolve(STEPS, end - OLD), end - OLD)
    assert values_of(schedule, end) == expected
    again = schedule_of(option)
    again.load_state_dict(schedule.state_dict())
    for k in range(at, end):
        group = again.optimizer.param_groups[0]
        assert (group["lr"], group["momentum"]) == (expected[k][0], expected[k][2] or 0.9)
        again.step()
    schedule.change_epochs(25, choice)
    if whole:
        twice = values_of(schedule, 50)
        assert twice[::2] == twice[1::2]


@pytest.mark.parametrize(("option", "floor"), CHANGED)
def test_a_tail_falls_in_a_line_to_the_floor_and_keeps_the_momentum(
    option: Schedule, floor: float
) -> None:
    schedule, planned = schedule_of(option, at=8), values_of(option.resolve(STEPS, OLD), 9)
    schedule.change_epochs(15, "tail")
    found = values_of(schedule, 40)
    assert found[:8] == planned[:8]
    *lrs, momentum = planned[8]
    for k in range(8, 40):
        reached = min(k - k % STEPS if option.interval == "epoch" else k, 30)
        expected = [floor + ((lr or 0) - floor) * (30 - reached) / 22 for lr in lrs]
        assert found[k][:2] == pytest.approx(expected, rel=1e-12, abs=1e-15), k
        assert found[k][2] == momentum


def test_a_hold_that_an_earlier_version_recorded_keeps_the_lrs_that_it_had() -> None:
    """That version held the smooth curve's last LR, which no epoch had trained at."""
    state = {
        "definition": {
            "name": "cosine",
            "interval": "epoch",
            "eta_min": 0.0,
            "num_cycles": 0.5,
            "length": None,
        },
        "table_sha256": "655338d660137af3c85a18d2273172bfbfc1e90b705f59cefef434929ff23343",
        "last_epoch": 10,
        "base_lrs": [0.1],
        "last_lr": [0.0038060233744356634],
        "steps_per_epoch": 2,
        "updates": 12,
        "revisions": [{"choice": "hold", "at": 5, "old": 8, "new": 12}],
        "plateau": {
            "best": None,
            "num_bad_epochs": 0,
            "cooldown_counter": 0,
            "reductions": [],
        },
    }
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    option = Cosine(interval="epoch")
    for _ in range(2):  # as it was saved, and saved once more by this version
        schedule = LRSchedule(optimizer, option, steps_per_epoch=2, epochs=4)
        schedule.load_state_dict(state)
        assert schedule.lrs(7) == [0.014644660940672627]
        assert schedule.lrs(8) == schedule.lrs(11) == [0.0038060233744356634]
        state = schedule.state_dict()


@pytest.mark.parametrize("epochs", [5, 15])
@pytest.mark.parametrize(
    "option",
    [
        Constant(),
        StepLR(step_size=2, gamma=0.5),
        MultiStep(milestones=[1, 3], gamma=0.5),
        Exponential(gamma=0.9, interval="epoch"),
        Cosine(length=4),
        Plateau(),
        Warmup(warmup=2, after=StepLR(step_size=1)),
        Warmup(warmup="3 steps", after=Plateau()),
    ],
)
def test_a_schedule_that_does_not_know_the_length_is_not_asked(
    option: Schedule, epochs: int
) -> None:
    schedule = schedule_of(option, at=8)
    before = [schedule.lrs(k) for k in range(40)]
    assert schedule.change_epochs(epochs, "error") is None
    assert schedule.updates == schedule.resolved.updates == epochs * STEPS
    assert schedule.revisions == []
    assert [schedule.lrs(k) for k in range(40)] == before


@pytest.mark.parametrize(
    ("option", "update"),
    [
        (Cosine(), 1),
        (Warmup(warmup="4 steps", after=Cosine()), 5),
        (StepLR(step_size="40%", gamma=0.5), 8),
        (StepLR(step_size="95%", gamma=0.5), 19),
    ],
)
def test_the_question_names_the_first_update_that_differs_and_every_choice(
    option: Schedule, update: int
) -> None:
    schedule = schedule_of(option, at=3)
    saved = schedule.state_dict()
    with pytest.raises(ValueError, match=r"^epochs=15: .* 10 epochs") as error:
        schedule.change_epochs(15, "error")
    message = str(error.value)
    other = schedule_of(option, epochs=15)
    old, new = schedule.lrs(update)[0], other.lrs(update)[0]
    assert f"at step {update} (LR {old:g} -> {new:g})" in message
    for choice, meaning in CHOICES.items():
        assert f"{choice}: {meaning}" in message
    assert schedule.state_dict() == saved


# Changed at step 8 from 20 to 30 steps, then at step 24 to 50.
TWICE: dict[tuple[str, str], Curve] = {
    ("hold", "hold"): lambda k: LONGER["hold"](k),
    ("hold", "stretch"): lambda k: LONGER["hold"](k) if k < 24 else wave(min(k, 50), 50),
    ("hold", "tail"): lambda k: LONGER["hold"](k) if k < 24 else wave(19, 20) * (50 - k) / 26,
    ("stretch", "hold"): lambda k: LONGER["stretch"](min(k, 29)),
    ("stretch", "continue"): lambda k: LONGER["stretch"](k),
    ("stretch", "tail"): lambda k: (
        LONGER["stretch"](k) if k < 24 else wave(24, 30) * max(50 - k, 0) / 26
    ),
    ("restart", "restart"): lambda k: LONGER["restart"](k) if k < 30 else wave(k - 30, 20),
    ("tail", "stretch"): lambda k: LONGER["tail"](k) if k < 24 else wave(k, 50),
    ("tail", "restart"): lambda k: LONGER["tail"](k) if k < 30 else wave(k - 30, 20),
}


@pytest.mark.parametrize("reopened", [False, True], ids=["whole", "saved and loaded at every step"])
@pytest.mark.parametrize(("first", "second"), TWICE)
def test_a_run_can_change_its_length_twice(first: str, second: str, reopened: bool) -> None:
    schedule = schedule_of(Cosine())

    def reopen() -> None:
        nonlocal schedule
        if reopened:
            state = through_a_file(schedule.state_dict())
            schedule = schedule_of(Cosine())  # as the configuration said at first
            schedule.load_state_dict(state)

    seen: list[list[float]] = []
    for k in range(50):
        reopen()
        if k in (8, 24):
            schedule.change_epochs(*((15, first) if k == 8 else (25, second)))
            reopen()
        seen.append(lrs_in(schedule.optimizer))
        schedule.step()
    assert schedule.updates == 50
    assert_follows(schedule, TWICE[first, second], 50)
    assert seen == [schedule.lrs(k) for k in range(50)]
    assert [r.to_dict() for r in schedule.revisions] == [
        {"choice": first, "at": 8, "old": 20, "new": 30},
        {"choice": second, "at": 24, "old": 30, "new": 50},
    ]


def test_a_change_that_was_forgotten_on_loading_is_refused() -> None:
    """The control of the test above: the revisions matter."""
    schedule = schedule_of(Cosine(), at=8)
    schedule.change_epochs(15, "tail")
    schedule.step()
    state = schedule.state_dict() | {"revisions": []}
    with pytest.raises(ValueError, match=r"^scheduler: step 9 was saved with LR"):
        schedule_of(Cosine()).load_state_dict(state)


def test_a_plateau_keeps_its_counters_when_the_run_gets_longer() -> None:
    lrs: list[list[float]] = []
    for longer in (False, True):
        option = Warmup(warmup="10%", after=Plateau(patience=1, factor=0.5))
        schedule = schedule_of(option, epochs=10)
        for epoch in range(9):
            for _ in range(STEPS):
                schedule.step()
            schedule.observe([5.0, 1.0, 2.0, 2.0, 2.0, 0.5, 1.0, 1.0, 1.0][epoch])
            if longer and epoch == 2:
                assert schedule.change_epochs(20, "hold") is not None
        lrs.append([schedule.lrs(k)[0] for k in range(18)])
    assert lrs[0] == lrs[1]
    assert schedule.plateau_state.reductions == [8, 16]
    assert lrs[0][-3:] == [0.8 * 0.5, 0.8 * 0.5 * 0.5, 0.8 * 0.5 * 0.5]


def test_the_first_difference_is_looked_for_up_to_the_smaller_end() -> None:
    one = StepLR(step_size=3, gamma=0.5).resolve(2, 20)
    other = StepLR(step_size=4, gamma=0.5).resolve(2, 30)
    assert first_difference(one, other, BASES) == 6
    assert first_difference(one, other, [0.0]) is None
    assert first_difference(one, StepLR(step_size=3, gamma=0.5).resolve(2, 6), BASES) is None
    assert first_difference(StepLR(step_size=3, gamma=0.5).resolve(2, 6), other, BASES) is None


@pytest.mark.parametrize(
    ("option", "at", "ways"),
    [
        (Cosine(), OLD, ["restart", "stretch", "hold"]),
        (
            Warmup(warmup="20%", interval="epoch", after=Cosine()),
            OLD,
            ["restart", "stretch", "hold"],
        ),
        (Cosine(length=4), 12, ["restart"]),
        (Warmup(warmup=5, start_factor=0.0, after=Cosine()), OLD, ["stretch", "hold"]),  # too long
        (Warmup(warmup=5, after=Cosine(length=4)), OLD, []),
    ],
)
def test_a_tail_from_zero_is_refused_with_the_choices_that_train_on(
    option: Schedule, at: int, ways: list[str]
) -> None:
    schedule = schedule_of(option, at)
    saved = schedule.state_dict()
    with pytest.raises(ValueError, match=r"^on_horizon_change=tail: .* LR 0 ") as error:
        schedule.change_epochs(15, "tail")
    assert schedule.state_dict() == saved
    named = re.findall(r"(\w+): [^;]* \(LR up to ([^)]+)\)", str(error.value))
    assert [name for name, _ in named] == ways
    assert ways or "init=<run folder>" in str(error.value)
    for name, highest in named:
        other = schedule_of(option, at)
        other.change_epochs(15, name)
        assert f"{max(max(other.lrs(k)) for k in range(at, 30)):g}" == highest


@pytest.mark.parametrize(
    ("option", "at", "epochs", "end"),
    [
        (Cosine(eta_min=0.001), OLD, 15, 0.001),  # to a floor
        (Cosine(eta_min=0.001), 8, 4, 0.001),  # with nothing left
        (Cosine(length=4), 12, 8, 0.0),  # to a shorter end
    ],
)
def test_a_tail_that_can_be_is_not_refused(
    option: Schedule, at: int, epochs: int, end: float
) -> None:
    schedule = schedule_of(option, at)
    assert schedule.change_epochs(epochs, "tail") is not None
    assert schedule.lrs(epochs * STEPS) == pytest.approx([end, end])


@pytest.mark.parametrize("choice", ["error", *CHOICES])
def test_the_same_length_is_no_change(choice: str) -> None:
    schedule = schedule_of(Cosine(), at=8)
    assert schedule.change_epochs(EPOCHS, choice) is None
    assert_follows(schedule, lambda k: wave(min(k, 20), 20), 30)


def test_a_run_that_had_such_a_tail_before_it_was_refused_still_loads() -> None:
    schedule = schedule_of(Cosine(), at=OLD)
    schedule.change_epochs(15, "continue")
    state = schedule.state_dict()
    state["revisions"] = [{**state["revisions"][0], "choice": "tail"}]
    other = schedule_of(Cosine())
    other.load_state_dict(state)
    assert other.lrs(25) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("epochs", "choice", "said"),
    [
        (6, "restart", r"^on_horizon_change=restart: needs more epochs"),
        (
            15,
            "error",
            r"^epochs=15: the run was planned for 10 epochs.*; say on_horizon_change=",
        ),
        (15, "later", r"^on_horizon_change=later: .*hold, continue, stretch, restart, tail"),
    ],
)
def test_a_refused_change_leaves_the_schedule_as_it_was(
    epochs: int, choice: str, said: str
) -> None:
    schedule = schedule_of(Cosine(), at=8)
    before, state = [schedule.lrs(k) for k in range(40)], schedule.state_dict()
    with pytest.raises(ValueError, match=said):
        schedule.change_epochs(epochs, choice)
    assert schedule.state_dict() == state
    assert [schedule.lrs(k) for k in range(40)] == before


def test_a_second_change_is_asked_for_only_if_an_lr_differs() -> None:
    schedule = schedule_of(Cosine(), at=8)
    schedule.change_epochs(15, "hold")
    before = [schedule.lrs(k) for k in range(schedule.updates)]
    assert schedule.change_epochs(20, "error") is None
    assert [schedule.lrs(k) for k in range(len(before))] == before
    assert schedule.lrs(schedule.updates - 1) == before[-1]


def test_a_note_is_made_once_however_often_the_length_changes() -> None:
    schedule = schedule_of(Warmup(warmup=1.1, after=Cosine()), at=8)
    schedule.change_epochs(15, "stretch")
    notes = schedule.resolved.notes.rounded
    assert len(notes) == len(set(notes)) == 1


def test_the_figure_of_the_documentation_is_drawn_by_its_script(tmp_path: Path) -> None:
    scripts = Path(__file__).parents[2] / "scripts"
    module = runpy.run_path(str(scripts / "horizon_figure.py"))
    assert module["main"](tmp_path / "horizon.png") == 0
    assert (tmp_path / "horizon.png").read_bytes().startswith(b"\x89PNG")
    held = module["lrs_of"](Cosine(), 30, "hold")
    assert held[:3000] == module["lrs_of"](Cosine(), 30, None)
    assert set(held[3000:]) == {held[2999]}
