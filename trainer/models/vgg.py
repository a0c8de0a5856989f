"""The small VGG of the learning-rate experiments."""

import torch
import torch.nn.functional as F
from torch import nn


class VGG(nn.Module):
    """Six 3x3 convolutions and two linear layers, no bias, no normalisation.

    Channels 3-32, pool, 64-64, pool, 128-128-128, pool, then 2048-128-10: 688,224 parameters, in
    torch's default initialisation (uniform in +-1/sqrt(fan_in)).

    Each pool stands before its ReLU. Both only compare, so max(relu(x)) and relu(max(x)) are the
    same numbers and send the gradient to the same places, and the ReLU works on a quarter of the
    values.

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1, bias=False)
        self.conv2_1 = nn.Conv2d(32, 64, 3, padding=1, bias=False)
        self.conv2_2 = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        self.conv3_1 = nn.Conv2d(64, 128, 3, padding=1, bias=False)
        self.conv3_2 = nn.Conv2d(128, 128, 3, padding=1, bias=False)
        self.conv3_3 = nn.Conv2d(128, 128, 3, padding=1, bias=False)
        self.fc1 = nn.Linear(2048, 128, bias=False)
        self.fc2 = nn.Linear(128, classes, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `(N, classes)` of normalised images `(N, 3, 32, 32)`."""
        x = F.relu(F.max_pool2d(self.conv1(images), 2))
        x = F.relu(self.conv2_1(x))
        x = F.relu(F.max_pool2d(self.conv2_2(x), 2))
        x = F.relu(self.conv3_1(x))
        x = F.relu(self.conv3_2(x))
        x = F.relu(F.max_pool2d(self.conv3_3(x), 2))
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)
