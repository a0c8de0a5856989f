"""Suite `accelerate`: ours beside Hugging Face Accelerate."""

from pathlib import Path
from typing import Any

import torch

from benchmarks.contest import contest, missing
from benchmarks.measure import Row
from benchmarks.recipe import Peer, Task, pil_loader
from benchmarks.setting import Setting
from trainer.data.image_set import ImageSet


class AccelerateLoop(Peer):
    """The loop of Accelerate's documentation, losses and hits added up on the device.

    Accelerate has one precision for a process.
    """

    def __init__(self, task: Task, *, workers: int, fast: bool) -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        precision = "bf16" if fast else "no"
        if AcceleratorState._shared_state and AcceleratorState().mixed_precision != precision:
            AcceleratorState._reset_state(reset_partial_state=True)
        self.accelerator = Accelerator(mixed_precision=precision, cpu=task.device.type == "cpu")
        super().__init__(task, workers=workers, fast=fast)
        loader = pil_loader(task, task.train, workers=workers, augment=True)
        prepared: Any = self.accelerator.prepare(self.model, self.optimizer, loader, self.scheduler)
        self.model, self.optimizer, self.loader, self.scheduler = prepared

    def plain(self, images: ImageSet) -> Any:
        """Batches in order, prepared as the package wants them."""
        return self.accelerator.prepare(super().plain(images))

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """One step; returns the loss, on the device."""
        self.optimizer.zero_grad()
        outputs = self.model(images.to(memory_format=self.format))
        loss = self.criterion(outputs, labels)
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.scheduler.step()
        self.correct += (outputs.detach().argmax(1) == labels).sum()
        return loss.detach()


def run(setting: Setting, folder: Path) -> Row:
    """The suite; timed in bf16 + channels_last alone, for it has one precision for a process."""
    if (nothing := missing("accelerate")) is not None:
        return nothing
    return contest(
        setting, folder, "Accelerate", AccelerateLoop, package="accelerate", precisions=[True]
    )
