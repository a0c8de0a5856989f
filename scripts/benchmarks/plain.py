"""Suite `plain`: ours beside the loop that people write."""

from pathlib import Path
from typing import Any

import torch

from benchmarks.contest import contest
from benchmarks.measure import Row
from benchmarks.ours import ours
from benchmarks.recipe import Peer, Task, pil_loader
from benchmarks.setting import Setting


class PlainLoop(Peer):
    """The loop that people write."""

    def __init__(self, task: Task, *, workers: int, fast: bool) -> None:
        super().__init__(task, workers=workers, fast=fast, fused=False)
        self.correct = 0
        self.loader = pil_loader(task, task.train, workers=workers, augment=True)

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


def run(setting: Setting, folder: Path) -> Row:
    """The suite."""
    other = setting.build("data.loader=torchvision", "data.workers=0", "engine=eager")

    def others(task: Task) -> list[Any]:
        return [ours("ours, torchvision loader", other, folder / "other")]

    return contest(setting, folder, "plain loop", PlainLoop, others=others, at_least=2.3)
