"""Learning-rate schedules for any training loop; importing them needs no torch.

>>> from trainer.schedules import Cosine, Warmup
>>> schedule = Warmup(warmup=5, after=Cosine(eta_min=1e-4)).resolve(390, 30 * 390)
>>> schedule.lr(5 * 390, 0.04)
0.04
"""

from typing import TYPE_CHECKING

from trainer.schedules.anneal import Cosine, CosineRestarts, Linear, Polynomial
from trainer.schedules.composed import Formula, Phases
from trainer.schedules.cyclic import Cyclic, OneCycle
from trainer.schedules.decay import Constant, Exponential, MultiStep, StepLR
from trainer.schedules.durations import Duration
from trainer.schedules.hold import WSD, HoldLinear
from trainer.schedules.inverse_sqrt import InverseSqrt, Noam
from trainer.schedules.plateau import Plateau
from trainer.schedules.schedule import ResolvedSchedule, Schedule
from trainer.schedules.warmup import Warmup

if TYPE_CHECKING:
    from trainer.schedules.lr_schedule import LRSchedule
    from trainer.schedules.transformers_names import get_scheduler

__all__ = [
    "WSD",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Cyclic",
    "Duration",
    "Exponential",
    "Formula",
    "HoldLinear",
    "InverseSqrt",
    "LRSchedule",
    "Linear",
    "MultiStep",
    "Noam",
    "OneCycle",
    "Phases",
    "Plateau",
    "Polynomial",
    "ResolvedSchedule",
    "Schedule",
    "StepLR",
    "Warmup",
    "get_scheduler",
]


def __getattr__(name: str) -> object:
    # These two need torch, which takes seconds to import; the preview needs none of it.
    if name == "LRSchedule":
        from trainer.schedules.lr_schedule import LRSchedule

        return LRSchedule
    if name == "get_scheduler":
        from trainer.schedules.transformers_names import get_scheduler

        return get_scheduler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
