"""Learning-rate schedules for any training loop; importing them needs no torch.

>>> from trainer.schedules import Cosine, Warmup
>>> schedule = Warmup(warmup=5, after=Cosine(eta_min=1e-4)).resolve(390, 30 * 390)
>>> schedule.lr(5 * 390, 0.04)
0.04
"""

from typing import TYPE_CHECKING

from trainer.schedules.decay import Constant, Cosine, Exponential, MultiStep, StepLR
from trainer.schedules.durations import Duration
from trainer.schedules.plateau import Plateau
from trainer.schedules.schedule import ResolvedSchedule, Schedule
from trainer.schedules.warmup import Warmup

if TYPE_CHECKING:
    from trainer.schedules.lr_schedule import LRSchedule

__all__ = [
    "Constant",
    "Cosine",
    "Duration",
    "Exponential",
    "LRSchedule",
    "MultiStep",
    "Plateau",
    "ResolvedSchedule",
    "Schedule",
    "StepLR",
    "Warmup",
]


def __getattr__(name: str) -> object:
    # LRSchedule is a torch class; torch takes seconds to import, the preview needs none of it.
    if name == "LRSchedule":
        from trainer.schedules.lr_schedule import LRSchedule

        return LRSchedule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
