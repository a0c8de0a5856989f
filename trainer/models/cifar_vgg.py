"""VGG 11 to 19 in the form that is usual for 32x32 images: one linear layer behind five pools."""

import torch
from torch import nn

# Output channels of the 3x3 convolutions between one pool and the next.
BLOCKS: dict[int, tuple[tuple[int, ...], ...]] = {
    11: ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    13: ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    16: ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    19: ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}


class CifarVGG(nn.Module):
    """3x3 convolutions with bias, five max pools down to 1x1, and one linear layer.

    Initialised as torchvision's: convolutions by He (normal, fan-out, gain of ReLU), the linear
    layer normal with standard deviation 0.01, biases zero, norms at weight one; torch's default
    would let the signal of the deeper ones vanish. Each pool stands before its ReLU, which gives
    the same numbers for less work (see `VGG`). The names are torchvision's.

    Args:
        depth: Layers with weights in the original: 11, 13, 16 or 19.
        classes: Number of classes.
        batch_norm: Whether a batch norm follows each convolution.

    Source: Simonyan and Zisserman, 2015 (arXiv 1409.1556), table 1, columns A, B, D and E; the
    three linear layers for 224x224 images give way to one, as is usual on CIFAR-10. He et al., 2015
    (arXiv 1502.01852), section 2.2, for the initial weights.
    """

    def __init__(self, depth: int, classes: int = 10, *, batch_norm: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for block in BLOCKS[depth]:
            for number, channels in enumerate(block, 1):
                layers.append(nn.Conv2d(inputs, channels, 3, padding=1))
                layers += [nn.BatchNorm2d(channels)] if batch_norm else []
                layers += [nn.MaxPool2d(2)] if number == len(block) else []
                layers.append(nn.ReLU(inplace=True))
                inputs = channels
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # pyright: ignore[reportArgumentType]
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `(N, classes)` of normalised images `(N, 3, 32, 32)`."""
        return self.classifier(self.features(images).flatten(1))
