"""The registry of schedules: what `scheduler=` and a saved configuration may name."""

from trainer.schedules.anneal import Cosine, CosineRestarts, Linear, Polynomial
from trainer.schedules.composed import Formula, Phases
from trainer.schedules.cyclic import Cyclic, OneCycle
from trainer.schedules.decay import Constant, Exponential, MultiStep, StepLR
from trainer.schedules.hold import WSD, HoldLinear
from trainer.schedules.inverse_sqrt import InverseSqrt, Noam
from trainer.schedules.plateau import Plateau
from trainer.schedules.schedule import OPTIONS
from trainer.schedules.warmup import Warmup

OPTIONS.update(
    {
        "constant": Constant,
        "steplr": StepLR,
        "multistep": MultiStep,
        "exponential": Exponential,
        "cosine": Cosine,
        "cosine_restarts": CosineRestarts,
        "linear": Linear,
        "polynomial": Polynomial,
        "inverse_sqrt": InverseSqrt,
        "noam": Noam,
        "wsd": WSD,
        "hold_linear": HoldLinear,
        "onecycle": OneCycle,
        "cyclic": Cyclic,
        "plateau": Plateau,
        "phases": Phases,
        "formula": Formula,
        "warmup": Warmup,
    }
)
