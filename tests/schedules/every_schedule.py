"""One of each schedule, for a run of 12 epochs, and what its plateaus are shown."""

from typing import Any

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

UNITS = ("epochs", "steps", "%")


def one_of_each(unit: str, interval: str, steps: int) -> dict[str, Schedule]:
    """One of each option, its boundaries at whole epochs as far as the unit allows.

    Args:
        unit: Of the durations. 12 epochs make 8.33 % each, so that one is rounded.
        interval: Of each schedule.
        steps: In an epoch.
    """

    def d(epochs: int) -> Any:
        percent = f"{epochs * 25 / 3:.2f}%"
        return {"epochs": epochs, "steps": f"{epochs * steps} steps", "%": percent}[unit]

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
