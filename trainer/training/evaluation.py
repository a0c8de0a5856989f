"""Loss and accuracy of a model on a set of images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from trainer.data.device_loader import Normalise
from trainer.data.image_set import ImageSet
from trainer.training.losses import Classification, Objective
from trainer.training.peers import ALONE, Peers
from trainer.training.update import autocast

BATCH_SIZE = 500  # fixed: the sums must not depend on the training batch size


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluates in fixed batches, the images unaugmented, every image once.

    Attributes:
        images: `(N, 32, 32, 3)` uint8 on the device.
        labels: `(N,)` int64 on the device.
        precision: As in training.
        normalise: What is done to the images first.
        objective: Loss and score.
        flip: Whether the logits are the mean over each image and its mirror image.
        peers: The processes that share the batches.

    Source: Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024 (arXiv 2404.00498), and
    its code's `infer_mirror`, for the flip: the mean of the logits, not of the probabilities.
    """

    images: torch.Tensor
    labels: torch.Tensor
    precision: str
    normalise: Callable[[torch.Tensor], torch.Tensor]
    objective: Objective = Classification()  # noqa: RUF009  # frozen
    flip: bool = False
    peers: Peers = ALONE

    @staticmethod
    def on(
        images: ImageSet,
        device: torch.device,
        precision: str,
        *,
        flip: bool = False,
        peers: Peers = ALONE,
        objective: Objective | None = None,
    ) -> "Evaluator":
        """An evaluator with the images on a device; features of a regression stay as they are."""
        there = images.images.to(device), images.labels.to(device)
        prepare = Normalise(device) if images.images.dtype == torch.uint8 else _as_they_are
        return Evaluator(*there, precision, prepare, objective or Classification(), flip, peers)

    def zeros(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums to begin with, float64: of the losses, and of the right answers or other scores."""
        zeros = torch.zeros(2, dtype=torch.float64, device=self.images.device)
        return zeros[0], zeros[1]

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The images and labels in fixed batches."""
        return zip(self.images.split(BATCH_SIZE), self.labels.split(BATCH_SIZE), strict=True)

    def logits(self, model: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """Logits `(n, classes)` of a batch, in the precision of the evaluation."""
        inputs = self.normalise(images)
        with autocast(images.device, self.precision):
            logits = model(inputs)
            return (logits + model(inputs.flip(3))) / 2 if self.flip else logits

    def add_all(
        self,
        model: nn.Module,
        loss: torch.Tensor,
        correct: torch.Tensor,
        check: Callable[[], object] = bool,
    ) -> None:
        """Adds this process's batches to the sums; nothing here waits for the device."""
        with autocast(self.images.device, self.precision):  # which casts a weight once
            # Whole batches are dealt out, so each one's sum is that of a single process.
            for number, (images, labels) in enumerate(self.batches()):
                if number % self.peers.count == 0:
                    check()  # in all processes, or in none
                if number % self.peers.count == self.peers.rank:
                    self.add_logits(self.logits(model, images), labels, loss, correct)

    def add_logits(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        loss: torch.Tensor,
        correct: torch.Tensor,
    ) -> None:
        """Adds a batch's logits to the sums: the one place that says what loss and accuracy are."""
        loss += self.objective.summed_loss(logits.float(), labels)
        correct += self.objective.score(logits, labels)

    @torch.no_grad()
    def __call__(self, model: nn.Module, check: Callable[[], object] = bool) -> tuple[float, float]:
        """Mean loss and accuracy (a fraction) or other score; leaves the model in training mode.

        Args:
            model: The network.
            check: Called before each batch; what it raises ends the evaluation.
        """
        loss, correct = self.zeros()
        model.eval()
        try:
            self.add_all(model, loss, correct, check)
        finally:
            model.train()
        count = len(self.labels)
        return float(self.peers.sum(loss)) / count, float(self.peers.sum(correct)) / count


def _as_they_are(features: torch.Tensor) -> torch.Tensor:
    return features
