"""From a model option to a module."""

import torch
from torch import nn

from trainer.models import options
from trainer.models.vgg import VGG


def build_model(option: options.ModelOptions, classes: int) -> nn.Module:
    """A freshly initialised model; draws from torch's global random generator.

    Args:
        option: Which model.
        classes: Number of classes it tells apart.

    Raises:
        ValueError: If the option is not a known model.
    """
    if isinstance(option, options.VGG):
        return VGG(classes)
    raise ValueError(f"model.name={option.name}: must be one of {', '.join(options.OPTIONS)}")


def parameters_of(option: options.ModelOptions) -> dict[str, nn.Parameter]:
    """Name and shape of a model's parameters, without memory or random draws."""
    with torch.device("meta"):
        return dict(build_model(option, classes=10).named_parameters())
