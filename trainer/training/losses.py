"""What is learned: the loss of a batch, and what is counted to say how good the answers are."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F

from trainer.data.mixup import Mixed, Targets


class Objective(Protocol):
    """Loss and score of a batch."""

    def loss(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
        """Mean loss of a batch in training, `()`."""
        ...

    def score(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
        """What is added up to be divided by the number of examples, `()`."""
        ...

    def summed_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Summed loss of a batch in evaluation, `()`."""
        ...


@dataclass(frozen=True, slots=True)
class Classification:
    """Cross entropy, and the number of right answers.

    Attributes:
        label_smoothing: Share of each label that is spread over all classes, in [0, 1); in training
            only.

    Source: Szegedy et al., 2016 (arXiv 1512.00567), section 7, for label smoothing; `Mixed` for
    mixup.
    """

    label_smoothing: float = 0.0

    def loss(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
        """Mean loss of a batch in training, `()`, of logits `(n, classes)` float32."""
        if isinstance(targets, Mixed):
            return targets.blend(
                self.loss(logits, targets.labels), self.loss(logits, targets.others)
            )
        return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)

    def score(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
        """Right answers in a batch, `()`: an answer to a blended image is right by its shares."""
        if isinstance(targets, Mixed):
            return targets.blend(
                self.score(logits, targets.labels), self.score(logits, targets.others)
            )
        return (logits.argmax(1) == targets).sum()

    def summed_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Summed loss of a batch in evaluation, `()`, without smoothing."""
        return F.cross_entropy(logits, labels, reduction="sum")


class Regression:
    """Mean squared error, and the absolute errors."""

    def loss(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
        """Mean squared error of outputs `(n, 1)` float32 and values `(n,)`."""
        return F.mse_loss(logits.squeeze(1), _values(targets))

    def score(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
        """Sum of the absolute errors."""
        return (logits.squeeze(1) - _values(targets)).abs().sum()

    def summed_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Sum of the squared errors."""
        return F.mse_loss(logits.squeeze(1), labels, reduction="sum")


def _values(targets: Targets) -> torch.Tensor:
    if isinstance(targets, Mixed):
        raise TypeError("values are not blended")
    return targets


def build_objective(loss: str, label_smoothing: float) -> Objective:
    """The objective that `loss=<loss>` names.

    Raises:
        ValueError: If there is none of that name.
    """
    if loss == "cross_entropy":
        return Classification(label_smoothing)
    if loss == "mse":
        return Regression()
    raise ValueError(f"loss={loss}: must be cross_entropy or mse")
