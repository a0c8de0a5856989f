"""The models of this package: options that are free of torch until they are built."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from typing_extensions import dataclass_transform

from trainer.options.registry import register

if TYPE_CHECKING:
    from torch import nn


@dataclass(kw_only=True)
class ModelOptions:
    """What every model shares.

    Attributes:
        name: The option's name, as in `model=<name>`.
    """

    takes: ClassVar[str] = "images"  # or "features": what a data set has to give

    name: str = "?"

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""

    def build(self, classes: int) -> "nn.Module":
        """A freshly initialised network; draws from torch's global random generator.

        Args:
            classes: Number of classes that it tells apart.
        """
        raise ValueError(f"model.name={self.name}: is not a model")


OPTIONS: dict[str, type[ModelOptions]] = {}
M = TypeVar("M", bound=ModelOptions)


@dataclass_transform(kw_only_default=True)
def model(name: str) -> Callable[[type[M]], type[M]]:
    """Registers a dataclass as `model=<name>`.

    Raises:
        ValueError: If the name is taken.
    """
    return register("model", OPTIONS, name)


@model("vgg")
class VGG(ModelOptions):
    """The small VGG: six 3x3 convolutions, three pools, two linear layers; 688,224 parameters."""

    def build(self, classes: int) -> "nn.Module":
        """The network, in its initial state."""
        from trainer.models.vgg import VGG

        return VGG(classes)


@model("vgg_bn")
class VGGBN(ModelOptions):
    """The small VGG with a batch norm behind each convolution; 689,312 parameters."""

    def build(self, classes: int) -> "nn.Module":
        """The network, in its initial state."""
        from trainer.models.vgg import VGG

        return VGG(classes, batch_norm=True)


@model("vgg11")
class VGG11(ModelOptions):
    """VGG-11 for 32x32 images, without batch norm; 9,225,610 parameters."""

    def build(self, classes: int) -> "nn.Module":
        """The network, in its initial state."""
        from trainer.models.cifar_vgg import CifarVGG

        return CifarVGG(11, classes)


@model("vgg11_bn")
class VGG11BN(ModelOptions):
    """VGG-11 for 32x32 images, with batch norm; 9,231,114 parameters."""

    def build(self, classes: int) -> "nn.Module":
        """The network, in its initial state."""
        from trainer.models.cifar_vgg import CifarVGG

        return CifarVGG(11, classes, batch_norm=True)


@model("vgg13")
class VGG13(ModelOptions):
    """VGG-13 for 32x32 images, without batch norm; 9,410,122 parameters."""

    def build(self, classes: int) -> "nn.Module":
        """The network, in its initial state."""
        from trainer.models.cifar_vgg import CifarVGG

        return CifarVGG(13, classes)


@model("vgg13_bn")
class VGG13BN(ModelOptions):
    """VGG-13 for 32x32 images, with batch norm; 9,416,010 parameters."""

    def build(self, classes: int) -> "nn.Module":
        """The network, in its initial state."""
        from trainer.models.cifar_vgg import CifarVGG

        return CifarVGG(13, classes, batch_norm=True)


@model("vgg16")
class VGG16(ModelOptions):
    """VGG-16 for 32x32 images, without batch norm; 14,719,818 parameters."""

    def build(self, classes: int) -> "nn.Module":
        """The network, in its initial state."""
        from trainer.models.cifar_vgg import CifarVGG

        return CifarVGG(16, classes)


@model("vgg16_bn")
class VGG16BN(ModelOptions):
    """VGG-16 for 32x32 images, with batch norm; 14,728,266 parameters."""

    def build(self, classes: int) -> "nn.Module":
        """The network, in its initial state."""
        from trainer.models.cifar_vgg import CifarVGG

        return CifarVGG(16, classes, batch_norm=True)


@model("vgg19")
class VGG19(ModelOptions):
    """VGG-19 for 32x32 images, without batch norm; 20,029,514 parameters."""

    def build(self, classes: int) -> "nn.Module":
        """The network, in its initial state."""
        from trainer.models.cifar_vgg import CifarVGG

        return CifarVGG(19, classes)


@model("vgg19_bn")
class VGG19BN(ModelOptions):
    """VGG-19 for 32x32 images, with batch norm; 20,040,522 parameters."""

    def build(self, classes: int) -> "nn.Module":
        """The network, in its initial state."""
        from trainer.models.cifar_vgg import CifarVGG

        return CifarVGG(19, classes, batch_norm=True)


@model("resnet18")
class ResNet18(ModelOptions):
    """ResNet-18 for 32x32 images; 11,173,962 parameters."""

    def build(self, classes: int) -> "nn.Module":
        """The network, in its initial state."""
        from trainer.models.resnet import ResNet18

        return ResNet18(classes)


@model("linear")
class Linear(ModelOptions):
    """A linear layer from ten features to one value, for data=random_regression; 11 parameters."""

    takes = "features"

    def build(self, classes: int) -> "nn.Module":
        """The network, in its initial state."""
        from torch import nn

        return nn.Linear(10, 1)  # in torch's default initialisation
