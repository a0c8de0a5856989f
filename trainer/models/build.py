"""A model without its memory: what it is made of."""

import torch
from torch import nn

from trainer.models.options import ModelOptions


def parameters_of(option: ModelOptions) -> dict[str, nn.Parameter]:
    """Name and shape of a model's parameters, without memory or random draws."""
    with torch.device("meta"):
        return dict(option.build(classes=10).named_parameters())
