"""From a model option to a module."""

import torch
from torch import nn

from trainer.models import options
from trainer.models.cifar_vgg import CifarVGG
from trainer.models.resnet import ResNet18
from trainer.models.vgg import VGG

# Depth and whether there are batch norms.
CIFAR_VGGS: dict[type[options.ModelOptions], tuple[int, bool]] = {
    options.VGG11: (11, False),
    options.VGG11BN: (11, True),
    options.VGG13: (13, False),
    options.VGG13BN: (13, True),
    options.VGG16: (16, False),
    options.VGG16BN: (16, True),
    options.VGG19: (19, False),
    options.VGG19BN: (19, True),
}


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
    if isinstance(option, options.VGGBN):
        return VGG(classes, batch_norm=True)
    if (form := CIFAR_VGGS.get(type(option))) is not None:
        depth, batch_norm = form
        return CifarVGG(depth, classes, batch_norm=batch_norm)
    if isinstance(option, options.Linear):
        return nn.Linear(10, 1)  # in torch's default initialisation
    if isinstance(option, options.ResNet18):
        return ResNet18(classes)
    raise ValueError(f"model.name={option.name}: must be one of {', '.join(options.OPTIONS)}")


def parameters_of(option: options.ModelOptions) -> dict[str, nn.Parameter]:
    """Name and shape of a model's parameters, without memory or random draws."""
    with torch.device("meta"):
        return dict(build_model(option, classes=10).named_parameters())
