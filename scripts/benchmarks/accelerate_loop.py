"""Suite `accelerate`: ours beside Hugging Face Accelerate."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.contest import contest, missing
from benchmarks.measure import Row
from benchmarks.recipe import Task, pil_loader, tutorial_vgg
from benchmarks.setting import SGD, Setting
from trainer.data.image_set import ImageSet


class AccelerateLoop:
    """The loop of Accelerate's documentation, losses and hits added up on the device.

    Args:
        task: What to train.
        workers: Of its DataLoader.
        fast: In bf16 and channels_last. Accelerate has one precision for a process.
    """

    def __init__(self, task: Task, *, workers: int, fast: bool) -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        precision = "bf16" if fast else "no"
        if AcceleratorState._shared_state and AcceleratorState().mixed_precision != precision:
            AcceleratorState._reset_state(reset_partial_state=True)
        self.accelerator = Accelerator(mixed_precision=precision, cpu=task.device.type == "cpu")
        self.task = task
        self.format = torch.channels_last if fast else torch.contiguous_format
        model = tutorial_vgg(task, self.format)
        optimizer = torch.optim.SGD(model.parameters(), fused=True, **SGD)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
        loader = pil_loader(task, task.train, workers=workers, augment=True)
        prepared: Any = self.accelerator.prepare(model, optimizer, loader, scheduler)
        self.model, self.optimizer, self.loader, self.scheduler = prepared
        self.criterion = nn.CrossEntropyLoss()
        self.correct = torch.zeros((), dtype=torch.int64, device=task.device)
        self.batches = self.endless()

    def endless(self) -> Iterator[Any]:
        """Batches of one epoch after the other."""
        while True:
            yield from self.loader

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

    def advance(self, steps: int) -> float:
        """Some steps; returns their mean loss."""
        return float(sum(self.step(*next(self.batches)) for _ in range(steps))) / steps

    def on(self, images: ImageSet) -> list[float]:
        """One epoch of images as they are."""
        loader = pil_loader(self.task, images, workers=0, augment=False)
        loader = self.accelerator.prepare(loader)
        return [float(self.step(*batch)) for batch in loader]

    def close(self) -> None:
        """Ends its workers."""
        self.batches, self.loader = iter(()), None


def run(setting: Setting, folder: Path) -> Row:
    """The suite; timed in bf16 + channels_last alone, for it has one precision for a process."""
    if (nothing := missing("accelerate")) is not None:
        return nothing
    return contest(
        setting, folder, "Accelerate", AccelerateLoop, package="accelerate", precisions=[True]
    )
