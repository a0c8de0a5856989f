"""LRSchedule in anybody's loop: a torch scheduler whose resume is exact wherever it was stopped."""

import copy
import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from every_schedule import metric, one_of_each
from lr_loops import lrs_in, sgd, through_a_file
from torch.optim.lr_scheduler import LRScheduler

import trainer.schedules
from trainer.schedules import (
    Cosine,
    Exponential,
    LRSchedule,
    MultiStep,
    Schedule,
    StepLR,
    Warmup,
    get_scheduler,
)

STEPS, EPOCHS = 3, 12
UPDATES = STEPS * EPOCHS
BASES = (0.1, 0.003)
EVERY = one_of_each("epochs", "step", STEPS)
EVERY |= {f"{k}_by_epoch": v for k, v in one_of_each("steps", "epoch", STEPS).items()}


def schedule_of(
    option: Schedule, optimizer: torch.optim.Optimizer | None = None, epochs: int = EPOCHS
) -> LRSchedule:
    return LRSchedule(optimizer or sgd(*BASES), option, steps_per_epoch=STEPS, epochs=epochs)


def train(schedule: LRSchedule, stop: int = UPDATES) -> list[list[float]]:
    """Goes on to step `stop`; the LRs that the optimizer had in each step."""
    used: list[list[float]] = []
    while schedule.last_epoch < stop:
        optimizer = schedule.optimizer
        used.append(lrs_in(optimizer))
        sum((p**2).sum() for g in optimizer.param_groups for p in g["params"]).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        epoch, rest = divmod(schedule.last_epoch, STEPS)
        if rest == 0:
            schedule.observe(metric(epoch - 1))
    return used


def test_it_is_a_torch_scheduler_for_a_loop_of_ones_own() -> None:
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    option = Warmup(warmup=1, start_factor=0.5, after=Cosine())
    schedule = LRSchedule(optimizer, option, steps_per_epoch=4, epochs=3)
    seen: list[float] = []
    for _epoch in range(3):
        for images in torch.ones(4, 8, 4):
            model(images).square().mean().backward()
            seen.append(schedule.get_last_lr()[0])
            assert seen[-1] == optimizer.param_groups[0]["lr"]
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    assert isinstance(schedule, LRScheduler)
    assert schedule.last_epoch == 12
    ramp = [0.05 + 0.0125 * k for k in range(4)]
    wave = [0.05 * (1 + math.cos(math.pi * k / 8)) for k in range(8)]
    assert seen == pytest.approx(ramp + wave, rel=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_the_lr_in_the_optimizer_is_the_resolved_schedules_for_each_groups_base(name: str) -> None:
    schedule = schedule_of(EVERY[name])
    assert schedule.get_last_lr() == [schedule.resolved.lr(0, base) for base in BASES]
    used = train(schedule)
    assert used == [schedule.lrs(k) for k in range(UPDATES)]
    assert schedule.get_last_lr() == schedule.get_lr() == schedule.lrs(UPDATES)
    assert lrs_in(schedule.optimizer) == schedule.get_last_lr()
    if "plateau" not in name:
        alone = EVERY[name].resolve(STEPS, UPDATES)
        assert used == [[alone.lr(k, base) for base in BASES] for k in range(UPDATES)]
        assert len({lrs[0] for lrs in used}) > 1 or name.startswith("constant")


COPIES: dict[str, Callable[[LRSchedule], LRSchedule]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda schedule: pickle.loads(pickle.dumps(schedule)),
}


@pytest.mark.parametrize("made", COPIES)
@pytest.mark.parametrize("name", EVERY)
def test_a_copy_goes_on_by_itself_with_an_optimizer_of_its_own(name: str, made: str) -> None:
    def begun() -> LRSchedule:
        schedule = schedule_of(EVERY[name])
        train(schedule, 4)
        schedule.change_epochs(EPOCHS + 2, "stretch")
        train(schedule, 7)
        return schedule

    end = UPDATES + 2 * STEPS
    expected = train(begun(), UPDATES)
    schedule = begun()
    other = COPIES[made](schedule)
    assert other.state_dict() == schedule.state_dict()
    assert other.optimizer is not schedule.optimizer
    assert train(other, UPDATES) == expected
    assert (schedule.last_epoch, lrs_in(schedule.optimizer)) == (7, schedule.lrs(7))
    assert train(schedule, UPDATES) == expected
    assert [other.momentum(k) for k in range(end)] == [schedule.momentum(k) for k in range(end)]
    assert other.state_dict() == schedule.state_dict()


@pytest.mark.parametrize("made", COPIES)
def test_a_copy_made_with_its_optimizer_drives_that_one(made: str) -> None:
    schedule = schedule_of(EVERY["warmup_cosine"])
    pair = (schedule.optimizer, schedule)
    optimizer, other = (
        copy.deepcopy(pair) if made == "deepcopy" else pickle.loads(pickle.dumps(pair))
    )
    assert other.optimizer is optimizer


@pytest.mark.parametrize("made", COPIES)
def test_a_schedule_of_transformers_names_is_copied(made: str) -> None:
    parameters: dict[str, dict[str, Any]] = {
        "linear": {},
        "cosine_with_min_lr": {"min_lr_rate": 0.1},
        "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1},
        "warmup_stable_decay": {"num_decay_steps": 2},
    }
    for name, given in parameters.items():
        schedule = get_scheduler(name, sgd(*BASES), 2, UPDATES, given)
        other = COPIES[made](schedule)
        assert [other.lrs(k) for k in range(20)] == [schedule.lrs(k) for k in range(20)]


def test_an_edit_of_the_lr_from_outside_cannot_bend_the_curve() -> None:
    for option in EVERY.values():
        plain, touched = schedule_of(option), schedule_of(option)
        train(plain, 5)
        train(touched, 4)
        touched.optimizer.param_groups[0]["lr"] = 77.0
        train(touched, 5)
        assert lrs_in(touched.optimizer) == lrs_in(plain.optimizer)


def added(lr: float | torch.Tensor = 0.5) -> dict[str, Any]:
    return {"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr}


@pytest.mark.parametrize("name", EVERY)
def test_a_group_that_is_added_later_has_its_lr_as_its_base(name: str) -> None:
    alone, schedule = schedule_of(EVERY[name]), schedule_of(EVERY[name])
    train(alone, 7)
    train(schedule, 7)
    schedule.optimizer.add_param_group(added())
    assert schedule.base_lrs == [*BASES, 0.5]
    assert schedule.get_last_lr() == lrs_in(schedule.optimizer) == [*alone.get_last_lr(), 0.5]
    used = train(schedule)
    assert used[0][2] == 0.5  # as it came, until the first step
    assert [lrs[:2] for lrs in used] == train(alone)
    assert [lrs[2] for lrs in used[1:]] == [schedule.resolved.lr(k, 0.5) for k in range(8, UPDATES)]
    assert schedule.optimizer.param_groups[2]["initial_lr"] == 0.5


def test_an_added_group_of_torchs_lambda_lr_agrees() -> None:
    optimizer, other = sgd(0.1), sgd(0.1)
    schedule = LRSchedule(optimizer, Exponential(gamma=0.5), steps_per_epoch=1, epochs=9)
    theirs = torch.optim.lr_scheduler.LambdaLR(other, [lambda k: 0.5**k])
    for k in range(6):
        if k == 2:
            optimizer.add_param_group(added())
            other.add_param_group(added() | {"initial_lr": 0.5})
            theirs.base_lrs.append(0.5)  # torch leaves this to the caller
            theirs.lr_lambdas.append(lambda k: 0.5**k)
        assert lrs_in(optimizer) == lrs_in(other)
        other.step()
        schedule.step()
        theirs.step()


@pytest.mark.parametrize("grown", [False, True], ids=["as built", "with an added group"])
@pytest.mark.parametrize("load_optimizer", ["first", "between", "last", "never"])
@pytest.mark.parametrize("name", ["warmup_cosine", "plateau", "exponential", "steplr_by_epoch"])
def test_the_order_of_building_and_loading_does_not_matter(
    name: str, load_optimizer: str, grown: bool
) -> None:
    def begun(stop: int) -> tuple[LRSchedule, list[list[float]]]:
        schedule = schedule_of(EVERY[name])
        used = train(schedule, min(stop, 7))
        if grown and stop >= 7:  # 7: between its arrival and its first step
            schedule.optimizer.add_param_group(added())
        return schedule, used + train(schedule, stop)

    expected = begun(UPDATES)[1]
    for k in (7, 8, 9, 16, 35) if grown else (0, 1, 8, 9, 10, 35):
        first, before = begun(k)
        states = through_a_file([first.optimizer.state_dict(), first.state_dict()])
        optimizer = sgd(*BASES)
        if grown:
            optimizer.add_param_group(added(0.7))
        if load_optimizer == "first":
            optimizer.load_state_dict(states[0])
        second = schedule_of(EVERY[name], optimizer)
        if load_optimizer == "between":
            optimizer.load_state_dict(states[0])
        second.load_state_dict(states[1])
        if load_optimizer == "last":
            optimizer.load_state_dict(states[0])
        assert second.base_lrs == [*BASES, *([0.5] if grown else [])]
        assert second.state_dict() == first.state_dict() == states[1]
        assert before + train(second) == expected


def test_an_added_group_takes_part_in_every_other_call() -> None:
    def with_a_group(**group: Any) -> LRSchedule:
        schedule = schedule_of(EVERY["warmup_plateau"])
        train(schedule, 7)
        schedule.optimizer.add_param_group(added() | group)
        return schedule

    assert len(with_a_group().lrs(9)) == 3
    assert with_a_group(initial_lr=0.25).base_lrs[2] == 0.25
    schedule = with_a_group()
    schedule.observe(9.0)
    assert lrs_in(schedule.optimizer) == schedule.get_last_lr() == schedule.lrs(7)
    before, after = with_a_group().change_epochs(EPOCHS + 2, "hold") or ([], [])
    assert len(before) == len(after) == 3
    schedule = with_a_group()
    hashed = schedule_of(EVERY["warmup_plateau"])
    train(hashed, 7)
    assert schedule.table_sha256() != hashed.table_sha256()
    schedule = with_a_group(lr=torch.tensor(0.5, dtype=torch.float64))
    address = schedule.optimizer.param_groups[2]["lr"].data_ptr()
    schedule.step()
    assert schedule.optimizer.param_groups[2]["lr"].data_ptr() == address
    assert lrs_in(schedule.optimizer) == schedule.lrs(8)


WARM = Warmup(warmup=2, after=StepLR(gamma=0.5))


@pytest.mark.parametrize(
    ("saved", "option", "said"),
    [
        (WARM, replace(WARM, warmup=3), r"^scheduler.warmup=3: was saved with .*=2"),
        (WARM, replace(WARM, after=StepLR(gamma=0.4)), r"^scheduler.after.gamma=0.4: was saved w"),
        (WARM, StepLR(gamma=0.5), r"^scheduler\.after=None: was saved with"),
        (  # although the LR at the position is the same
            MultiStep(milestones=[2, 5], gamma=0.5),
            MultiStep(milestones=[2, 4], gamma=0.5),
            r"^scheduler.milestones=\[2, 4\]: was saved with scheduler.milestones=\[2, 5\]$",
        ),
    ],
)
def test_a_changed_definition_is_refused_with_key_and_both_values(
    saved: Schedule, option: Schedule, said: str
) -> None:
    schedule, other = schedule_of(saved), schedule_of(option)
    train(schedule, 8)
    before = lrs_in(other.optimizer)
    with pytest.raises(ValueError, match=said):
        other.load_state_dict(schedule.state_dict())
    assert lrs_in(other.optimizer) == before


@pytest.mark.parametrize("k", [1, 9, UPDATES])
def test_an_lr_or_a_length_of_an_epoch_that_is_another_is_refused_with_both(k: int) -> None:
    saved = schedule_of(Exponential(gamma=0.7))
    train(saved, k)
    state = saved.state_dict()
    wrong = [lr * (1 + 1e-15) for lr in state["last_lr"]]
    assert wrong != state["last_lr"]
    with pytest.raises(ValueError, match=rf"^scheduler: step {k} ") as error:
        schedule_of(Exponential(gamma=0.7)).load_state_dict(state | {"last_lr": wrong})
    for lr in (*wrong, *saved.get_last_lr()):
        assert repr(lr) in str(error.value)
    other = LRSchedule(sgd(*BASES), Exponential(gamma=0.7), steps_per_epoch=391, epochs=EPOCHS)
    with pytest.raises(ValueError, match=rf"^scheduler: .*{STEPS}.*391"):
        other.load_state_dict(state)


def test_the_saved_length_of_the_run_wins_over_the_new_one() -> None:
    saved = schedule_of(Cosine())
    train(saved, 7)
    other = schedule_of(Cosine(), epochs=EPOCHS + 4)
    other.load_state_dict(saved.state_dict())
    assert other.updates == UPDATES
    assert train(other) == train(saved)


def test_the_state_is_plain_values() -> None:
    for option in EVERY.values():
        schedule = schedule_of(option)
        train(schedule, 7)
        state = schedule.state_dict()
        assert json.loads(json.dumps(state)) == state


def test_the_state_does_not_change_when_the_run_goes_on() -> None:
    schedule = schedule_of(EVERY["plateau"])
    train(schedule, 7)
    state = schedule.state_dict()
    copy = through_a_file(state)
    train(schedule)
    assert state == copy
    assert schedule.state_dict() != copy


def test_an_lr_in_a_tensor_is_filled_in_place() -> None:
    for option in (EVERY["warmup_cosine"], EVERY["plateau"]):
        tensors = [torch.tensor(base, dtype=torch.float64) for base in BASES]
        addresses = [tensor.data_ptr() for tensor in tensors]
        optimizer = sgd(*tensors)
        schedule = schedule_of(option, optimizer)
        expected = train(schedule_of(option))
        for k in range(UPDATES):
            assert [float(tensor) for tensor in tensors] == expected[k]
            train(schedule, k + 1)
        assert [group["lr"].data_ptr() for group in optimizer.param_groups] == addresses
        again = schedule_of(option, optimizer)
        again.load_state_dict(schedule.state_dict())
        assert [group["lr"].data_ptr() for group in optimizer.param_groups] == addresses
        assert [float(tensor) for tensor in tensors] == schedule.lrs(UPDATES)


def test_the_base_is_the_groups_initial_lr_where_it_has_one() -> None:
    optimizer = sgd(*BASES)
    optimizer.param_groups[0]["initial_lr"] = 0.5
    schedule = schedule_of(Exponential(gamma=0.5), optimizer)
    assert lrs_in(optimizer) == [0.5, BASES[1]]
    assert schedule.base_lrs == [0.5, BASES[1]]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.5, BASES[1]]


def test_an_impossible_option_is_refused_before_the_optimizer_is_touched() -> None:
    optimizer = sgd(*BASES)
    with pytest.raises(ValueError, match=r"^scheduler\.gamma=2\.0"):
        schedule_of(Exponential(gamma=2.0), optimizer)
    assert lrs_in(optimizer) == list(BASES)


@pytest.mark.parametrize(
    ("steps_per_epoch", "epochs", "said"),
    [
        (50_000 / 128, 30, "steps_per_epoch=390.625: must be a whole number"),
        (390, 2.5, "epochs=2.5: must be a whole number"),
        (math.inf, 30, "steps_per_epoch=inf: must be a whole number"),
        (0, 30, "steps_per_epoch=0: must be at least 1"),
        (390, -1, "epochs=-1: must be at least 1"),
    ],
)
def test_a_length_that_counts_nothing_is_refused(
    steps_per_epoch: Any, epochs: Any, said: str
) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    with pytest.raises(ValueError, match=said):
        LRSchedule(optimizer, Cosine(), steps_per_epoch=steps_per_epoch, epochs=epochs)
    schedule = LRSchedule(
        optimizer, Cosine(), steps_per_epoch=numpy.int64(390), epochs=numpy.int32(30)
    )
    assert type(schedule.updates) is int
    assert schedule.updates == 11_700


def test_the_package_offers_it_by_name_and_nothing_it_does_not_have() -> None:
    assert trainer.schedules.LRSchedule is LRSchedule
    assert all(hasattr(trainer.schedules, name) for name in trainer.schedules.__all__)
    with pytest.raises(AttributeError, match="NoSuchSchedule"):
        _ = trainer.schedules.NoSuchSchedule
