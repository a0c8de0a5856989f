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


OPTIONS: dict[str, type[ModelOptions]] = {"vgg": VGG}
