"""The small VGG of the learning-rate experiments."""

import torch
import torch.nn.functional as F
from torch import nn


class VGG(nn.Module):
    """Six 3x3 convolutions and two linear layers, no bias.

    Channels 3-32, pool, 64-64, pool, 128-128-128, pool, then 2048-128-10: 688,224 parameters, in
    torch's default initialisation (uniform in +-1/sqrt(fan_in)). With batch norm behind each
    convolution, at weight one and bias zero, 689,312.

    Each pool stands before its ReLU. Both only compare, so max(relu(x)) and relu(max(x)) are the
    same numbers and send the gradient to the same places, and the ReLU works on a quarter of the
    values.

    Args:
        classes: Number of classes.
        batch_norm: Whether a batch norm follows each convolution.
    """

    def __init__(self, classes: int = 10, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1, bias=False)
        self.conv2_1 = nn.Conv2d(32, 64, 3, padding=1, bias=False)
        self.conv2_2 = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        self.conv3_1 = nn.Conv2d(64, 128, 3, padding=1, bias=False)
        self.conv3_2 = nn.Conv2d(128, 128, 3, padding=1, bias=False)
        self.conv3_3 = nn.Conv2d(128, 128, 3, padding=1, bias=False)
        norm = nn.BatchNorm2d if batch_norm else nn.Identity  # the latter has no state
        self.norm1 = norm(32)
        self.norm2_1, self.norm2_2 = norm(64), norm(64)
        self.norm3_1, self.norm3_2, self.norm3_3 = norm(128), norm(128), norm(128)
        self.fc1 = nn.Linear(2048, 128, bias=False)
        self.fc2 = nn.Linear(128, classes, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `(N, classes)` of normalised images `(N, 3, 32, 32)`."""
        x = F.relu(F.max_pool2d(self.norm1(self.conv1(images)), 2))
        x = F.relu(self.norm2_1(self.conv2_1(x)))
        x = F.relu(F.max_pool2d(self.norm2_2(self.conv2_2(x)), 2))
        x = F.relu(self.norm3_1(self.conv3_1(x)))
        x = F.relu(self.norm3_2(self.conv3_2(x)))
        x = F.relu(F.max_pool2d(self.norm3_3(self.conv3_3(x)), 2))
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)
