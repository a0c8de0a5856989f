"""Plateau equals torch's ReduceLROnPlateau to the bit, also across restarts and warm-ups."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lr_loops import lrs_in, sgd, through_a_file
from torch.optim.lr_scheduler import ReduceLROnPlateau

from trainer.schedules import Cosine, LRSchedule, Plateau, Warmup
from trainer.schedules.plateau_state import PlateauState

drawn = settings(max_examples=150, deadline=None, derandomize=True, database=None)
any_sign = pytest.mark.filterwarnings("ignore:.*threshold_mode=rel")
BASES = (0.1, 0.003)

metrics = st.lists(
    st.one_of(
        st.sampled_from([1.0, 0.99995, 0.9999, 0.5, 0.0, -0.0, -1.0, -1.0001, 2.0]),
        st.floats(-3, 3),
        st.sampled_from([math.nan, math.inf, -math.inf]),
    ),
    min_size=1,
    max_size=80,
)
options = st.builds(
    Plateau,
    mode=st.sampled_from(["min", "max"]),
    factor=st.floats(0.05, 0.95),
    patience=st.integers(0, 4),
    threshold=st.one_of(st.sampled_from([0.0, 1e-4, 0.1, 1.0]), st.floats(0, 2)),
    threshold_mode=st.sampled_from(["rel", "abs"]),
    cooldown=st.integers(0, 4),
    min_lr=st.sampled_from([0.0, 1e-4, 0.002, 0.01, 0.5]),
    eps=st.sampled_from([0.0, 1e-8, 1e-3, 0.02]),
)


def schedule_of(option: Plateau | Warmup, *lrs: float, steps_per_epoch: int = 1) -> LRSchedule:
    return LRSchedule(sgd(*lrs), option, steps_per_epoch=steps_per_epoch, epochs=100)


def torch_plateau(option: Plateau, optimizer: torch.optim.Optimizer) -> ReduceLROnPlateau:
    values = dataclasses.asdict(option)
    return ReduceLROnPlateau(
        optimizer, **{k: v for k, v in values.items() if k not in ("name", "interval", "monitor")}
    )


@any_sign
@drawn
@given(option=options, sequence=metrics)
def test_plateau_equals_torchs_to_the_bit_in_each_group_also_saved_and_loaded_every_epoch(
    option: Plateau, sequence: list[float]
) -> None:
    schedule, part = schedule_of(option, *BASES), schedule_of(option, *BASES)
    theirs = torch_plateau(option, sgd(*BASES))
    for epoch, metric in enumerate(sequence):
        if epoch < 20:  # what can be lost shows in the first epochs
            state = through_a_file(part.state_dict())
            part = schedule_of(option, *BASES)
            part.load_state_dict(state)
        theirs.step(metric)
        for ours in (schedule, part):
            ours.step(metric)
            assert lrs_in(ours.optimizer) == lrs_in(theirs.optimizer)
            assert ours.plateau_state.num_bad_epochs == theirs.num_bad_epochs
            assert ours.plateau_state.cooldown_counter == theirs.cooldown_counter
    assert part.state_dict() == schedule.state_dict()


def test_the_drawn_sequences_do_reduce_the_lr() -> None:
    """The control of the comparison above: there is something to get wrong."""
    generator = torch.Generator().manual_seed(0)
    for mode in ("min", "max"):
        option = Plateau(mode=mode, factor=0.7, patience=2, cooldown=1, min_lr=1e-3)
        schedule, theirs = schedule_of(option, *BASES), torch_plateau(option, sgd(*BASES))
        seen = set()
        for metric in torch.rand(100, generator=generator, dtype=torch.float64).tolist():
            schedule.step(metric)
            theirs.step(metric)
            assert lrs_in(schedule.optimizer) == lrs_in(theirs.optimizer)
            seen.add(schedule.get_last_lr()[0])
        assert len(seen) > 10
        assert lrs_in(schedule.optimizer) == [1e-3, 1e-3]


def test_a_reduction_comes_after_more_than_patience_bad_epochs() -> None:
    schedule = schedule_of(Plateau(patience=2, factor=0.5), 0.8, steps_per_epoch=3)
    lrs: list[float] = []
    for _ in range(6):
        for _ in range(3):
            lrs.append(schedule.get_last_lr()[0])
            schedule.step()
        schedule.observe(1.0)  # the first is the best so far, the fourth the third bad one
    assert lrs == [0.8] * 12 + [0.4] * 6


def test_nan_is_a_bad_epoch_and_never_the_best() -> None:
    schedule = schedule_of(Plateau(patience=1, factor=0.5), 0.8)
    for metric in (math.nan, math.nan):
        schedule.step(metric)
    assert schedule.get_last_lr() == [0.4]
    assert schedule.plateau_state.best is None
    schedule.step(7.0)
    assert schedule.plateau_state.best == 7.0


def test_a_resume_without_the_counters_would_differ() -> None:
    """The control of the resume test: every counter matters."""
    option = Plateau(patience=1, factor=0.5, cooldown=1)
    sequence = [1.0, 0.5, 0.8, 0.7, 0.7, 0.7, 0.9, 0.9, 0.9, 0.4, 0.9, 0.9]
    changed: dict[str, list[Any]] = {
        "best": [None],
        "num_bad_epochs": [0],
        "cooldown_counter": [0],
    }
    for counter, values in changed.items():
        differs = False
        for k in range(len(sequence)):
            whole = schedule_of(option, 0.8)
            for metric in sequence[:k]:
                whole.step(metric)
            state = whole.state_dict()
            state["plateau"][counter] = values[0]
            other = schedule_of(option, 0.8)
            other.load_state_dict(state)
            for metric in sequence[k:]:
                whole.step(metric)
                other.step(metric)
                differs |= lrs_in(whole.optimizer) != lrs_in(other.optimizer)
        assert differs, counter


def test_the_lr_of_past_updates_can_be_computed_again() -> None:
    schedule = schedule_of(Plateau(patience=0, factor=0.5), *BASES, steps_per_epoch=4)
    used: list[list[float]] = []
    for metric in (1.0, 2.0, 0.5, 3.0, 3.0):
        for _ in range(4):
            used.append(lrs_in(schedule.optimizer))
            schedule.step()
        schedule.observe(metric)
    assert len({lrs[0] for lrs in used}) == 3
    assert [schedule.lrs(k) for k in range(20)] == used


@any_sign
@pytest.mark.parametrize("clock", ["after", "absolute"])
@settings(drawn, max_examples=40)
@given(
    option=options,
    early=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    late=st.lists(st.floats(-3, 3), min_size=1, max_size=20),
)
def test_behind_a_warm_up_plateau_starts_as_torchs_does_and_ignores_what_came_before(
    clock: str, option: Plateau, early: list[float], late: list[float]
) -> None:
    warmup = Warmup(warmup=3, start_factor=0.1, clock=clock, after=option)
    schedule = schedule_of(warmup, *BASES, steps_per_epoch=5)
    theirs = torch_plateau(option, sgd(*BASES))
    for epoch, metric in enumerate([*early, *late]):
        for _ in range(5):
            schedule.step()
        schedule.observe(metric)
        if epoch < 3:
            assert schedule.plateau_state == PlateauState()
        else:
            theirs.step(metric)
        if epoch >= 2:
            assert lrs_in(schedule.optimizer) == lrs_in(theirs.optimizer)


def test_a_warm_up_within_an_epoch_ignores_the_epochs_that_end_within_it_only() -> None:
    option = Warmup(warmup="7 steps", after=Plateau(patience=0, factor=0.5))
    schedule = schedule_of(option, 0.8, steps_per_epoch=5)
    for metric in (9.0, 1.0, 2.0):  # after steps 5, 10 and 15
        for _ in range(5):
            schedule.step()
        schedule.observe(metric)
    assert schedule.plateau_state.best == 1.0
    assert schedule.plateau_state.reductions == [15]
    assert schedule.get_last_lr() == [0.4]


@pytest.mark.parametrize(
    ("option", "names", "expected"),
    [
        (Plateau(), ["train/loss", "test/loss", "test/accuracy"], "test/loss"),
        (Plateau(), ["test/loss", "val/loss"], "val/loss"),
        (Plateau(mode="max"), ["test/loss", "test/accuracy"], "test/accuracy"),
        (Plateau(mode="max"), ["test/accuracy", "val/accuracy"], "val/accuracy"),
        (Plateau(monitor="train/loss"), ["train/loss", "test/loss"], "train/loss"),
    ],
)
def test_the_monitored_metric_is_chosen_by_mode_or_name(
    option: Plateau, names: list[str], expected: str
) -> None:
    row = {name: float(index) for index, name in enumerate(names)}
    for wrapped in (option, Warmup(warmup=2, after=option)):
        assert schedule_of(wrapped, 0.1).monitored(row) == row[expected]


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (Plateau(monitor="val/f1"), "scheduler.monitor=val/f1"),
        (Plateau(mode="max"), "scheduler.monitor=auto"),
        (Warmup(warmup=3, after=Plateau(monitor="val/loss")), "scheduler.after.monitor=val/loss"),
    ],
)
def test_a_metric_that_the_run_does_not_have_is_refused_by_name(
    option: Plateau | Warmup, named: str
) -> None:
    with pytest.raises(ValueError, match=r"^scheduler\.") as error:
        schedule_of(option, 0.1).monitored({"train/loss": 1.0, "test/loss": 2.0})
    assert str(error.value).startswith(f"{named}: ")
    assert "train/loss, test/loss" in str(error.value)


def test_without_a_plateau_metrics_change_nothing() -> None:
    schedule = LRSchedule(sgd(0.1), Cosine(), steps_per_epoch=1, epochs=5)
    assert schedule.monitored({}) is None
    schedule.step(1.0)
    before = schedule.state_dict()
    assert schedule.observe(5.0) is False
    assert schedule.state_dict() == before


def test_metrics_of_nested_warm_ups_and_of_restarted_ones_are_ignored() -> None:
    nested = Warmup(warmup=2, after=Warmup(warmup=3, after=Plateau(patience=0)))
    tracker = nested.resolve(1, 30).plateau
    assert tracker is not None
    assert [tracker.observe(1.0, k) for k in range(1, 9)] == [False] * 6 + [True] * 2

    option = Warmup(warmup=3, after=Plateau(patience=0))
    schedule = LRSchedule(sgd(0.1), option, steps_per_epoch=1, epochs=30)
    for _ in range(4):
        schedule.step(1.0)
    schedule.change_epochs(40, "restart")
    schedule.step(1.0)  # the second metric after the warm-up is a bad one
    assert schedule.plateau_state.reductions == [5]


def test_observe_says_so_only_if_the_lr_was_reduced() -> None:
    schedule = LRSchedule(sgd(0.1), Plateau(patience=0, min_lr=100.0), steps_per_epoch=1, epochs=9)
    assert [schedule.observe(1.0) for _ in range(3)] == [False] * 3
    other = LRSchedule(sgd(0.1), Plateau(patience=0), steps_per_epoch=1, epochs=9)
    assert [other.observe(1.0) for _ in range(3)] == [False, True, True]


NEGATIVE = r"^scheduler\.threshold_mode=rel: .* threshold_mode=abs"


@pytest.mark.parametrize(("mode", "values"), [("min", [0.5, -1.0]), ("max", [-1.0])])
def test_a_negative_metric_that_is_compared_by_its_share_is_said_once(
    mode: str, values: list[float]
) -> None:
    schedule = schedule_of(Plateau(mode=mode, patience=0, threshold=0.1), 0.1)
    for value in values[:-1]:
        schedule.step(value)
    with pytest.warns(UserWarning, match=NEGATIVE):
        schedule.step(values[-1])
    worse = values[-1] * (1.05 if mode == "max" else 0.95)
    schedule.step(worse)  # a second warning would be an error here
    assert schedule.plateau_state.best == worse


@pytest.mark.parametrize(
    ("option", "metrics"),
    [
        (Plateau(threshold_mode="abs"), [1.0, -1.0, -2.0]),
        (Plateau(threshold=0.0), [1.0, -1.0, -2.0]),
        (Plateau(mode="max"), [1.0, -1.0, -2.0]),
        (Plateau(), [1.0, 0.0, math.nan]),
    ],
)
def test_a_metric_that_is_compared_rightly_is_not_warned_of(
    option: Plateau, metrics: list[float]
) -> None:
    schedule = schedule_of(option, 0.1)
    for metric in metrics:
        schedule.step(metric)
    assert schedule.resolved.notes.warnings == []


def test_a_best_metric_below_zero_is_said_again_by_a_resumed_run() -> None:
    schedule = schedule_of(Warmup(warmup=1, after=Plateau()), 0.1)
    schedule.step(-1.0)  # within the warm-up
    with pytest.warns(UserWarning, match=r"^scheduler\.after\.threshold_mode=rel"):
        schedule.step(-1.0)
    again = schedule_of(Warmup(warmup=1, after=Plateau()), 0.1)
    again.load_state_dict(schedule.state_dict())
    assert again.resolved.notes.warnings == schedule.resolved.notes.warnings != []
    again.step(-2.0)


def test_loading_leaves_the_saved_state_alone() -> None:
    schedule = LRSchedule(sgd(0.1), Plateau(patience=0), steps_per_epoch=1, epochs=9)
    saved = schedule.state_dict()
    schedule.load_state_dict(saved)
    for _ in range(3):
        schedule.step(1.0)
    assert schedule.plateau_state.reductions
    assert saved["plateau"]["reductions"] == []


def test_another_number_of_groups_is_refused_with_both_counts() -> None:
    schedule = LRSchedule(sgd(0.1), Plateau(), steps_per_epoch=1, epochs=9)
    state = schedule.state_dict()
    state["base_lrs"] = [*state["base_lrs"], 0.1]
    with pytest.raises(ValueError, match="was saved with 2 parameter groups, the optimizer has 1"):
        schedule.load_state_dict(state)
