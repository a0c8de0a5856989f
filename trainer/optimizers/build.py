"""From an optimizer option to a torch optimizer with named parameter groups."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from trainer.optimizers.options import OptimizerOptions


def build_optimizer(option: OptimizerOptions, model: nn.Module) -> torch.optim.Optimizer:
    """An optimizer over the model's parameters, one group per entry of `groups` and the rest.

    Each group carries `name` (its expression, "norm_and_bias" or "rest"), `initial_lr` and `lr`.

    Raises:
        ValueError: If a group matches no parameter.
    """
    groups = parameter_groups(option, dict(model.named_parameters()))
    # Fused kernels: one launch instead of one per tensor, and no host sync under GradScaler.
    shared: dict[str, Any] = {"lr": option.lr, "fused": True}
    optimizer = option.build(groups, **shared)
    place_lrs(optimizer)
    return optimizer


def place_lrs(optimizer: torch.optim.Optimizer) -> None:
    """Keeps each group's LR where its step reads it; to be called after loading, too.

    On CUDA that is a float32 tensor on the device: a captured step reads it there, and the eager
    one must compute with the same number. `load_state_dict` brings other places and flags along.
    """
    for group in optimizer.param_groups:
        parameter, lr = group["params"][0], float(group["lr"])
        group["lr"] = torch.tensor(lr, device=parameter.device) if parameter.is_cuda else lr
        group["fused"] = True
        if "capturable" in group:
            group["capturable"] = parameter.is_cuda


def parameter_groups(
    option: OptimizerOptions, parameters: Mapping[str, nn.Parameter]
) -> list[dict[str, Any]]:
    """Parameters, dealt to the first group whose expression matches their name.

    Raises:
        ValueError: If a group matches no parameter.
    """
    groups: list[dict[str, Any]] = []
    left = dict(parameters)
    named = iter(option.base_lrs())
    for number, group in enumerate(option.groups):
        names = [name for name in left if re.search(group.match, name)]
        if not names:
            raise ValueError(
                f"optimizer.groups[{number}].match={group.match}: matches none of the parameters "
                f"left ({', '.join(left) or 'none'})"
            )
        decay = option.weight_decay if group.weight_decay is None else group.weight_decay
        groups.append(_group(next(named), [left.pop(name) for name in names], decay))
    if not option.decay_norm_and_bias:
        flat = [name for name in left if left[name].ndim <= 1]
        if not flat:
            raise ValueError(
                "optimizer.decay_norm_and_bias=false: the model has no norm or bias"
                + (" that optimizer.groups leaves over" if groups else "")
            )
        groups.append(_group(next(named), [left.pop(name) for name in flat], 0.0))
    if left:
        groups.append(_group(next(named), list(left.values()), option.weight_decay))
    return groups


def _group(
    named: tuple[str, float], parameters: list[nn.Parameter], weight_decay: float
) -> dict[str, Any]:
    name, lr = named
    return {
        "name": name,
        "params": parameters,
        "lr": lr,
        "initial_lr": lr,
        "weight_decay": weight_decay,
    }
