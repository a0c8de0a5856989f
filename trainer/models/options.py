"""Options of the `model` group, free of torch."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class ModelOptions:
    """What every model shares.

    Attributes:
        name: The option's name, as in `model=<name>`.
    """

    name: str = "?"

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""


@dataclass(slots=True, kw_only=True)
class VGG(ModelOptions):
    """The small VGG: six 3x3 convolutions, three pools, two linear layers; 688,224 parameters."""

    name: str = "vgg"


@dataclass(slots=True, kw_only=True)
class VGGBN(ModelOptions):
    """The small VGG with a batch norm behind each convolution; 689,312 parameters."""

    name: str = "vgg_bn"


@dataclass(slots=True, kw_only=True)
class VGG11(ModelOptions):
    """VGG-11 for 32x32 images, without batch norm; 9,225,610 parameters."""

    name: str = "vgg11"


@dataclass(slots=True, kw_only=True)
class VGG11BN(ModelOptions):
    """VGG-11 for 32x32 images, with batch norm; 9,231,114 parameters."""

    name: str = "vgg11_bn"


@dataclass(slots=True, kw_only=True)
class VGG13(ModelOptions):
    """VGG-13 for 32x32 images, without batch norm; 9,410,122 parameters."""

    name: str = "vgg13"


@dataclass(slots=True, kw_only=True)
class VGG13BN(ModelOptions):
    """VGG-13 for 32x32 images, with batch norm; 9,416,010 parameters."""

    name: str = "vgg13_bn"


@dataclass(slots=True, kw_only=True)
class VGG16(ModelOptions):
    """VGG-16 for 32x32 images, without batch norm; 14,719,818 parameters."""

    name: str = "vgg16"


@dataclass(slots=True, kw_only=True)
class VGG16BN(ModelOptions):
    """VGG-16 for 32x32 images, with batch norm; 14,728,266 parameters."""

    name: str = "vgg16_bn"


@dataclass(slots=True, kw_only=True)
class VGG19(ModelOptions):
    """VGG-19 for 32x32 images, without batch norm; 20,029,514 parameters."""

    name: str = "vgg19"


@dataclass(slots=True, kw_only=True)
class VGG19BN(ModelOptions):
    """VGG-19 for 32x32 images, with batch norm; 20,040,522 parameters."""

    name: str = "vgg19_bn"


@dataclass(slots=True, kw_only=True)
class ResNet18(ModelOptions):
    """ResNet-18 for 32x32 images; 11,173,962 parameters."""

    name: str = "resnet18"


@dataclass(slots=True, kw_only=True)
class Linear(ModelOptions):
    """A linear layer from ten features to one value, for data=random_regression; 11 parameters."""

    name: str = "linear"


OPTIONS: dict[str, type[ModelOptions]] = {
    "linear": Linear,
    "vgg": VGG,
    "vgg_bn": VGGBN,
    "vgg11": VGG11,
    "vgg11_bn": VGG11BN,
    "vgg13": VGG13,
    "vgg13_bn": VGG13BN,
    "vgg16": VGG16,
    "vgg16_bn": VGG16BN,
    "vgg19": VGG19,
    "vgg19_bn": VGG19BN,
    "resnet18": ResNet18,
}
