"""torch's optimizers, without the compiler that they import.

The first call of an optimizer imports `torch._dynamo`, and with it inductor, sympy and triton, only
to tell the compiler to keep out. That takes about as long as importing torch. Nothing here is
compiled, so the methods are taken as they are written, below that decoration.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)
DECORATED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def uncompiled(kind: type[Kind]) -> Callable[..., Kind]:
    """The optimizer class, computing the same; not for use inside `torch.compile`.

    Hooks and profiling stay: torch puts them around `step` when an optimizer is made.
    """
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in DECORATED}
    step = inspect.unwrap(kind.step)
    methods["step"] = torch.no_grad()(step)  # as torch does, unless it is differentiable
    made: Any = type(kind.__name__, (kind,), methods)
    return made


def fill_momentum(optimizer: torch.optim.SGD) -> None:
    """Starts every momentum at zero instead of at nothing; the first step is the same number.

    Left to itself the fused kernel takes uninitialised memory for the buffers, and an fp16 overflow
    in the first step makes it leave them so.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def fill_moments(optimizer: torch.optim.Adam) -> None:
    """Makes at once what Adam makes, likewise, at its first step.

    A capture needs it before: a run's first checkpoint is the same with and without one.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            slots = optimizer.state[parameter]
            slots["step"] = torch.zeros((), device=parameter.device)
            slots["exp_avg"] = torch.zeros_like(parameter)
            slots["exp_avg_sq"] = torch.zeros_like(parameter)
