"""Suite `lightning`: ours beside PyTorch Lightning's Trainer.

Lightning in its fastest form: `barebones`, which leaves out logging, checkpoints, progress bar and
every check. A block is a `fit` of its own that goes on with weights and optimizer; the clock runs
between the ends of two of its steps, so that setting up a fit is not in its time.
"""

import logging
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.contest import contest, contestant, missing
from benchmarks.measure import Contestant, Row, settle
from benchmarks.ours import first_table
from benchmarks.recipe import Peer, Task, pil_loader
from benchmarks.setting import Setting
from trainer.data.device_loader import DeviceLoader
from trainer.data.image_set import ImageSet


class LightningLoop(Peer):
    """A LightningModule and Trainers that fit it; `batches` stand in for a DataLoader."""

    def __init__(
        self, task: Task, *, workers: int, fast: bool, batches: Iterable[Any] | None = None
    ) -> None:
        super().__init__(task, workers=workers, fast=fast)
        self.loader = batches
        if batches is None:
            self.loader = pil_loader(task, task.train, workers=workers, augment=True)

    def fit(self, loader: Any, steps: int, before: int = 0) -> Any:
        """Fits so many steps; returns the module, which knows losses and times.

        The device is waited for after `before` steps and at the end.
        """
        from lightning.pytorch import Trainer

        module = _module(self.model, self.optimizer, self.fast, (before, steps))
        quiet = logging.getLogger("lightning.pytorch")
        level = quiet.level
        quiet.setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # advice to take more workers, and the like
                Trainer(
                    accelerator="gpu" if self.task.device.type == "cuda" else "cpu",
                    devices=1,
                    precision="bf16-mixed" if self.fast else "32-true",
                    max_steps=steps,
                    max_epochs=-1,
                    barebones=True,
                ).fit(module, loader)
        finally:
            quiet.setLevel(level)
        return module

    def clock(self, steps: int) -> tuple[float, float]:
        """Seconds that some steps take, and their mean loss."""
        before = 1 + 2 * self.workers
        module = self.fit(self.loader, before + steps, before)
        losses = torch.stack(module.losses[before:])
        return module.times[-1] - module.times[before - 1], float(losses.mean())

    def advance(self, steps: int) -> float:
        """Some steps; returns their mean loss."""
        return float(torch.stack(self.fit(self.loader, steps).losses).mean())

    def on(self, images: ImageSet) -> list[float]:
        """One epoch of images as they are."""
        loader = self.plain(images)
        return torch.stack(self.fit(loader, len(loader)).losses).tolist()


def _module(
    model: nn.Module, optimizer: torch.optim.Optimizer, fast: bool, marks: tuple[int, int]
) -> Any:
    """The recipe as a LightningModule; nothing in it waits for the device."""
    import lightning.pytorch as pl

    class Recipe(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.criterion = model, nn.CrossEntropyLoss()
            self.losses, self.times = list[torch.Tensor](), list[float]()
            self.correct = torch.zeros((), dtype=torch.int64)

        def on_fit_start(self) -> None:
            self.correct = self.correct.to(self.device)

        def training_step(self, batch: Any, number: int) -> torch.Tensor:
            images, labels = batch
            if fast:
                images = images.to(memory_format=torch.channels_last)
            outputs = self.model(images)
            loss = self.criterion(outputs, labels)
            self.correct += (outputs.detach().argmax(1) == labels).sum()
            self.losses.append(loss.detach())
            return loss

        def on_train_batch_end(self, *_: Any) -> None:
            if len(self.losses) in marks:
                settle()
            self.times.append(time.perf_counter())

        def configure_optimizers(self) -> Any:
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    return Recipe()


class OurBatches:
    """Batches of our loader, already on the device, as an endless epoch."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One batch after the other."""
        table, loader = first_table(self.run), self.run.loader
        assert isinstance(loader, DeviceLoader)
        while True:
            for step in range(self.run.steps_per_epoch):
                yield loader.batch(table, step)


def run(setting: Setting, folder: Path) -> Row:
    """The suite."""
    if (nothing := missing("lightning")) is not None:
        return nothing

    def others(task: Task) -> list[Contestant]:
        batches = OurBatches(setting.build())
        name = "Lightning, bf16 + channels_last, our loader"
        return [contestant(name, LightningLoop(task, workers=0, fast=True, batches=batches), 0)]

    return contest(setting, folder, "Lightning", LightningLoop, package="lightning", others=others)
