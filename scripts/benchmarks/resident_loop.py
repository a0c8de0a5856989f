"""Suite `resident`: ours beside a loop whose images stay on the device.

This is the technique that airbench published (Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single
GPU, 2024), in a loop of our own: normalised images lie on the device with their border; many are
cropped and mirrored at a time, by one masked copy per offset; a step takes a slice. airbench
itself is not in a package registry, so its own code is not compared.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.contest import contest
from benchmarks.measure import Row
from benchmarks.recipe import Peer, Task
from benchmarks.setting import Setting
from trainer.data.image_set import ImageSet

PADDING, SIZE = 4, 32
MISSING = "airbench: has no package, its own code was not compared; `resident` is its technique"


class ResidentLoop(Peer):
    """Trains on tensors that never leave the device; in bf16 the images are as well."""

    def __init__(self, task: Task, *, workers: int, fast: bool) -> None:
        super().__init__(task, workers=workers, fast=fast)
        self.images, self.labels = self.normalised(task.train)

    def normalised(self, images: ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
        """Images with a black border, normalised, and labels, on the device."""
        pixels = images.images.to(self.task.device).permute(0, 3, 1, 2)
        black = F.pad(pixels, [PADDING] * 4)
        mean, std = (
            torch.tensor(values, device=self.task.device).view(1, 3, 1, 1)
            for values in (self.task.mean, self.task.std)
        )
        dtype = torch.bfloat16 if self.fast else torch.float32
        parts = [((part / 255 - mean) / std).to(dtype) for part in black.split(2000)]
        return torch.cat(parts), images.labels.to(self.task.device)

    def augmented(self, chosen: torch.Tensor) -> torch.Tensor:
        """Random crops of some images, mirrored with probability 1/2."""
        padded, device = self.images[chosen], self.task.device
        count, offsets = len(chosen), 2 * PADDING + 1
        tops, lefts = torch.randint(offsets, (2, count), device=device)
        rows = padded.new_empty(count, 3, SIZE, SIZE + 2 * PADDING)
        for top in range(offsets):  # first the rows, then the columns: 18 copies instead of 81
            there = tops == top
            rows[there] = padded[there, :, top : top + SIZE]
        cropped = padded.new_empty(count, 3, SIZE, SIZE)
        for left in range(offsets):
            there = lefts == left
            cropped[there] = rows[there, :, :, left : left + SIZE]
        flips = torch.rand(count, 1, 1, 1, device=device) < 0.5
        return torch.where(flips, cropped.flip(3), cropped)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """One step; returns the loss, on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.task.device.type, torch.bfloat16, enabled=self.fast):
            outputs = self.model(images.contiguous(memory_format=self.format))
            loss = self.criterion(outputs, labels)
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        self.correct += (outputs.detach().argmax(1) == labels).sum()
        return loss.detach()

    def advance(self, steps: int) -> float:
        """Some steps on images augmented together; returns their mean loss."""
        count = steps * self.task.batch_size
        chosen = torch.randperm(len(self.labels), device=self.task.device)[:count]
        batches = zip(
            self.augmented(chosen).split(self.task.batch_size),
            self.labels[chosen].split(self.task.batch_size),
            strict=True,
        )
        return float(torch.stack([self.step(*batch) for batch in batches]).mean())

    def plain(self, images: ImageSet) -> Any:
        """Batches of images as they are, normalised."""
        padded, labels = self.normalised(images)
        inside, size = padded[:, :, PADDING:-PADDING, PADDING:-PADDING], self.task.batch_size
        return zip(inside.split(size), labels.split(size), strict=True)


def run(setting: Setting, folder: Path) -> Row:
    """The suite."""
    title = "resident loop"
    return contest(setting, folder, title, ResidentLoop, workers=[0]) | {"missing": [MISSING]}
