"""Loops around a schedule: what the tests of this room share."""

import io
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

MakeTorch = Callable[[Optimizer], Any]


def sgd(*lrs: Any) -> torch.optim.SGD:
    """A group of one weight for each LR."""
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in lrs]
    return torch.optim.SGD(groups, lr=float(lrs[0]), momentum=0.9)


def lrs_in(optimizer: Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def traced(optimizer: Optimizer, scheduler: Any, steps: int) -> list[list[float]]:
    """The LRs in force for each of some steps under anybody's scheduler."""
    lrs: list[list[float]] = []
    for k in range(steps):
        lrs.append(lrs_in(optimizer))
        optimizer.step()
        if k < steps - 1:  # some refuse to be stepped past their end
            scheduler.step()
    return lrs


def torch_lrs(make: MakeTorch, base: float, steps: int) -> list[float]:
    """The LR of each of some steps under one of torch's or transformers' schedulers."""
    optimizer = sgd(base)
    return [lr for (lr,) in traced(optimizer, make(optimizer), steps)]


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)
