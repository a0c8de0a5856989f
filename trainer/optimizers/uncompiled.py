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
