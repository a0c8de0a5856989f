"""A parameter that cannot be is refused with its key and value, alone and behind a warm-up."""

import math

import pytest

from trainer.schedules import (
    Constant,
    Cosine,
    Exponential,
    MultiStep,
    Plateau,
    Schedule,
    StepLR,
    Warmup,
)

IMPOSSIBLE: list[tuple[Schedule, str]] = [
    (StepLR(gamma=0.0), "gamma=0.0"),
    (StepLR(gamma=1.01), "gamma=1.01"),
    (StepLR(gamma=math.nan), "gamma=nan"),
    (StepLR(step_size=0), "step_size=0"),
    (StepLR(step_size="x"), "step_size=x"),
    (MultiStep(gamma=-0.5), "gamma=-0.5"),
    (MultiStep(milestones=[]), "milestones=[]"),
    (MultiStep(milestones=[0, 4]), "milestones=0"),
    (MultiStep(milestones=[4, 2]), "milestones=[4, 2]"),
    (MultiStep(milestones=[2, "20 steps"]), "milestones=[2, 20 steps]"),
    (Exponential(gamma=2.0), "gamma=2.0"),
    (Exponential(every=0), "every=0"),
    (Cosine(eta_min=-1e-9), "eta_min=-1e-09"),
    (Cosine(eta_min=math.inf), "eta_min=inf"),
    (Cosine(num_cycles=0.0), "num_cycles=0.0"),
    (Cosine(num_cycles=math.nan), "num_cycles=nan"),
    (Cosine(length=0), "length=0"),
    (Plateau(mode="mean"), "mode=mean"),
    (Plateau(factor=1.0), "factor=1.0"),
    (Plateau(factor=0.0), "factor=0.0"),
    (Plateau(patience=-1), "patience=-1"),
    (Plateau(cooldown=-1), "cooldown=-1"),
    (Plateau(threshold=-1e-4), "threshold=-0.0001"),
    (Plateau(threshold=math.nan), "threshold=nan"),
    (Plateau(threshold_mode="ratio"), "threshold_mode=ratio"),
    (Plateau(min_lr=-0.1), "min_lr=-0.1"),
    (Plateau(eps=math.inf), "eps=inf"),
    (Constant(interval="batch"), "interval=batch"),
    (Warmup(shape="steep", after=Constant()), "shape=steep"),
    (Warmup(clock="wall", after=Constant()), "clock=wall"),
    (Warmup(start_factor=-0.1, after=Constant()), "start_factor=-0.1"),
    (Warmup(start_factor=1.1, after=Constant()), "start_factor=1.1"),
    (Warmup(start_factor=0.0, shape="exponential", after=Constant()), "start_factor=0.0"),
    (Warmup(after=Constant(interval="epoch")), "after.interval=epoch"),
]


@pytest.mark.parametrize(("option", "key"), IMPOSSIBLE, ids=[key for _, key in IMPOSSIBLE])
def test_an_impossible_value_is_refused_with_its_key(option: Schedule, key: str) -> None:
    for wrapped, place in ((option, "scheduler"), (Warmup(after=option), "scheduler.after")):
        with pytest.raises(ValueError, match=r"^scheduler\.") as error:
            wrapped.resolve(10, 300)
        assert str(error.value).startswith(f"{place}.{key}:")


def test_a_run_without_updates_has_no_schedule() -> None:
    for steps_per_epoch, updates in ((0, 10), (10, 0)):
        with pytest.raises(ValueError, match="scheduler"):
            Constant().resolve(steps_per_epoch, updates)
