"""Loss and accuracy of a model on a set of images."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from trainer.data.device_loader import Normalise
from trainer.data.image_set import ImageSet
from trainer.engine import autocast

BATCH_SIZE = 500  # fixed: the sums must not depend on the training batch size


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluates in fixed batches, the images unaugmented, every image once.

    Attributes:
        images: `(N, 32, 32, 3)` uint8 on the device.
        labels: `(N,)` int64 on the device.
        precision: As in training.
    """

    images: torch.Tensor
    labels: torch.Tensor
    precision: str

    @staticmethod
    def on(images: ImageSet, device: torch.device, precision: str) -> "Evaluator":
        """An evaluator with the images on a device."""
        return Evaluator(images.images.to(device), images.labels.to(device), precision)

    @torch.no_grad()
    def __call__(self, model: nn.Module, check: Callable[[], object] = bool) -> tuple[float, float]:
        """Mean loss and accuracy (a fraction); leaves the model in training mode.

        Args:
            model: The network.
            check: Called before each batch; what it raises ends the evaluation.
        """
        device = self.images.device
        normalise = Normalise(device)
        loss = torch.zeros((), dtype=torch.float64, device=device)
        correct = torch.zeros((), dtype=torch.int64, device=device)
        model.eval()
        try:
            for images, labels in zip(
                self.images.split(BATCH_SIZE), self.labels.split(BATCH_SIZE), strict=True
            ):
                check()
                with autocast(device, self.precision):
                    logits = model(normalise(images))
                loss += F.cross_entropy(logits.float(), labels, reduction="sum")
                correct += (logits.argmax(1) == labels).sum()
        finally:
            model.train()
        count = len(self.labels)
        return float(loss) / count, int(correct) / count
