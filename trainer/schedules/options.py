"""The registry of schedules: what `scheduler=` and a saved configuration may name."""

from trainer.schedules.decay import Constant, Cosine, Exponential, MultiStep, StepLR
from trainer.schedules.plateau import Plateau
from trainer.schedules.schedule import Schedule
from trainer.schedules.warmup import Warmup

OPTIONS: dict[str, type[Schedule]] = {
    "constant": Constant,
    "steplr": StepLR,
    "multistep": MultiStep,
    "exponential": Exponential,
    "cosine": Cosine,
    "plateau": Plateau,
    "warmup": Warmup,
}
