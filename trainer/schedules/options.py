"""The schedules of this package: importing them registers them."""

from trainer.schedules import (
    anneal,
    composed,
    cyclic,
    decay,
    hold,
    inverse_sqrt,
    plateau,
    warmup,
)
from trainer.schedules.schedule import OPTIONS

__all__ = [
    "OPTIONS",
    "anneal",
    "composed",
    "cyclic",
    "decay",
    "hold",
    "inverse_sqrt",
    "plateau",
    "warmup",
]
