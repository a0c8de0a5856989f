"""ResNet-18 in the form that is usual for 32x32 images."""

import torch
import torch.nn.functional as F
from torch import nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and the input added before the last ReLU.

    Args:
        inputs: Channels of the input.
        channels: Channels of the output.
        stride: Of the first convolution; 2 halves height and width.
    """

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(N, inputs, H, W)` to `(N, channels, H / stride, W / stride)`."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.downsample(x), inplace=True)


class ResNet18(nn.Module):
    """Eight basic blocks behind a 3x3 convolution, without the first pool; 11,173,962 parameters.

    Initialised as torchvision's: convolutions by He (normal, fan-out, gain of ReLU), norms at
    weight one and bias zero, the linear layer at torch's default (uniform in +-1/sqrt(512)). The
    names are torchvision's.

    Args:
        classes: Number of classes.

    Source: He et al., 2016 (arXiv 1512.03385), table 1; for 32x32 images the stem is a 3x3
    convolution of stride 1 without a pool, as is usual on CIFAR-10.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, 1)
        self.layer2 = _stage(64, 128, 2)
        self.layer3 = _stage(128, 256, 2)
        self.layer4 = _stage(256, 512, 2)
        self.fc = nn.Linear(512, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `(N, classes)` of normalised images `(N, 3, 32, 32)`."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def _stage(inputs: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(inputs, channels, stride), BasicBlock(channels, channels, 1))
