"""Suite `timm`: ours beside timm's loader, optimizer and kind of loop.

timm's loop is a script (`train.py`) that its package does not contain; the loop here is ours and
does per step what that one does with its defaults: forward under autocast, backward, step,
schedule, and the loss added up on the device. The loader is timm's `create_loader` with its
prefetcher (uint8 to the device, normalised there), the optimizer its `create_optimizer_v2`. Crop
and flip are the recipe's: timm has no crop with a border.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision import transforms

from benchmarks.contest import contest, missing
from benchmarks.measure import Row
from benchmarks.recipe import Peer, PilImages, Task, augmentation
from benchmarks.setting import SGD, Setting
from trainer.data.image_set import ImageSet


def to_array(image: Any) -> Any:
    """A PIL image as `(3, 32, 32)` uint8, which timm's collation wants."""
    return np.array(image, dtype=np.uint8).transpose(2, 0, 1)


class TimmLoop(Peer):
    """timm's parts."""

    def __init__(self, task: Task, *, workers: int, fast: bool) -> None:
        from timm.optim import create_optimizer_v2
        from timm.utils import AverageMeter

        super().__init__(task, workers=workers, fast=fast)
        # "momentum" is timm's name for torch's SGD without Nesterov
        self.optimizer = create_optimizer_v2(self.model, opt="momentum", fused=True, **SGD)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda _: 1.0)
        self.losses = AverageMeter()
        self.loader = self.load(task.train, augment=True)

    def plain(self, images: ImageSet) -> Any:
        """The package's loader, in order and without augmentation."""
        return self.load(images, augment=False)

    def load(self, images: ImageSet, *, augment: bool) -> Any:
        """The package's loader; without augmentation also in order."""
        from timm.data.loader import create_loader

        data = PilImages(images, None)
        loader: Any = create_loader(
            data,  # pyright: ignore
            input_size=(3, 32, 32),
            batch_size=self.task.batch_size,
            is_training=augment,
            mean=self.task.mean,
            std=self.task.std,
            num_workers=self.workers if augment else 0,
            pin_memory=self.task.device.type == "cuda",
            device=self.task.device,
        )
        data.transform = transforms.Compose([*(augmentation() if augment else []), to_array])
        return loader

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """One step; returns the loss, on the device."""
        images = images.contiguous(memory_format=self.format)
        with torch.autocast(self.task.device.type, torch.bfloat16, enabled=self.fast):
            loss = self.criterion(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        self.losses.update(loss.detach(), len(labels))
        return loss.detach()


def run(setting: Setting, folder: Path) -> Row:
    """The suite."""
    if (nothing := missing("timm")) is not None:
        return nothing
    return contest(setting, folder, "timm", TimmLoop, package="timm")
