"""Weights and buffers of a checkpoint, put into a model that they fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn


def evaluated_weights(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """What a checkpoint's metrics were evaluated with: the averaged weights, if it has them."""
    return state["model"] if state["ema"] is None else state["ema"]


def load_weights(
    model: nn.Module, weights: Mapping[str, torch.Tensor], *, path: Path, name: str
) -> None:
    """Takes over weights and buffers alone.

    Args:
        model: Gets them.
        weights: By name.
        path: The checkpoint, for the message.
        name: The model's, for the message.

    Raises:
        ValueError: If they are not this model's; names the first that differs.
    """
    own = model.state_dict()
    for key in sorted(own.keys() | weights.keys()):
        saved = tuple(weights[key].shape) if key in weights else "nothing"
        here = tuple(own[key].shape) if key in own else "nothing"
        if saved != here:
            raise ValueError(
                f"{path}: does not fit model={name}: {key} is {saved} in the checkpoint, "
                f"{here} in the model"
            )
    model.load_state_dict(dict(weights))
