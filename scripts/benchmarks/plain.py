"""Suite `plain`: ours beside the loop that people write."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.contest import contest
from benchmarks.measure import Row
from benchmarks.ours import ours
from benchmarks.recipe import Task, pil_loader, tutorial_vgg
from benchmarks.setting import SGD, Setting
from trainer.data.image_set import ImageSet


class PlainLoop:
    """The loop that people write.

    Args:
        task: What to train.
        workers: Of its DataLoader.
        fast: In bf16 and channels_last.
    """

    def __init__(self, task: Task, *, workers: int, fast: bool) -> None:
        self.task, self.fast, self.correct = task, fast, 0
        self.format = torch.channels_last if fast else torch.contiguous_format
        self.model = tutorial_vgg(task, self.format)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), **SGD)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda _: 1.0)
        self.loader: Any = pil_loader(task, task.train, workers=workers, augment=True)
        self.batches = self.endless()

    def endless(self) -> Iterator[list[torch.Tensor]]:
        """Batches of one epoch after the other."""
        while True:
            yield from self.loader

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        """One step; returns the loss."""
        device = self.task.device
        images = images.to(device, memory_format=self.format, non_blocking=True)
        labels = labels.to(device, non_blocking=True)
        self.optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=self.fast):
            outputs = self.model(images)
            loss = self.criterion(outputs, labels)
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        self.correct += (outputs.argmax(1) == labels).sum().item()
        return loss.item()

    def advance(self, steps: int) -> float:
        """Some steps; returns their mean loss."""
        return sum(self.step(*next(self.batches)) for _ in range(steps)) / steps

    def on(self, images: ImageSet) -> list[float]:
        """One epoch of images as they are."""
        loader = pil_loader(self.task, images, workers=0, augment=False)
        return [self.step(*batch) for batch in loader]

    def close(self) -> None:
        """Ends its workers."""
        self.batches = iter(())
        self.loader._iterator = None


def run(setting: Setting, folder: Path) -> Row:
    """The suite."""
    other = setting.build("data.loader=torchvision", "data.workers=0", "engine=eager")

    def others(task: Task) -> list[Any]:
        return [ours("ours, torchvision loader", other, folder / "other")]

    return contest(setting, folder, "plain loop", PlainLoop, others=others, at_least=2.3)
