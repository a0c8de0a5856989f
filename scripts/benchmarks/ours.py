"""Our side of a contest."""

from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Contestant
from trainer.cli.signals import Stopped, StopRequest
from trainer.data.device_loader import DeviceLoader
from trainer.data.epoch_table import EpochTable, epoch_table
from trainer.training.capture import Capture
from trainer.training.graph import GraphEngine, StaticUpdate
from trainer.training.loop import train
from trainer.training.record import Record
from trainer.training.stopping import Paused, StopVote
from trainer.training.update import EagerEngine


def ours(name: str, run: Any, folder: Path) -> Contestant:
    """The loop of a run, some steps at a time, as if it were stopped behind them.

    Each block also pays for a whole epoch's table and a final reading of the losses.
    """
    folder.mkdir(parents=True)
    record, progress = Unsaved(run, folder), run.progress
    record.start(changed=False)

    def advance(steps: int) -> float:
        if progress.step_in_epoch + steps > run.steps_per_epoch:
            progress.next_epoch(0)
            run.sums.clear()
        start, end = progress.step_in_epoch, progress.step_in_epoch + steps
        stop = StopAt(StopRequest(), run.peers, waits=True, until=progress.step + steps)
        train(run, record, stop)
        return float(run.sums.losses[start:end].mean())

    return Contestant(name, advance, run.config.deterministic, close=record.close)


class StopAt(StopVote):
    """Stops behind a step, also at the end of an epoch: nothing is evaluated."""

    def after_step(self, step: int, *, ends_epoch: bool) -> Stopped | None:
        """As in `StopVote`."""
        return Paused() if step == self.until else super().after_step(step, ends_epoch=ends_epoch)


class Unsaved(Record):
    """A record that saves nothing where the loop is stopped."""

    def save(self, *, best: bool = False, line: str | None = None) -> None:
        """Nothing."""


def first_table(run: Any) -> EpochTable:
    """Order, crops and flips of a run's first epoch."""
    data = run.config.data
    return epoch_table(0, 0, len(run.data.train), padding=data.crop_padding, flip=data.flip)


class FrozenLoader:
    """Gives one batch again and again.

    Args:
        loader: Gave it.
        table: Of an epoch, whose first batch is kept.
    """

    def __init__(self, loader: DeviceLoader, table: EpochTable) -> None:
        self.device, self.batch_size = loader.device, loader.batch_size
        self.images, self.labels = loader.batch(table, 0)

    def load(self, table: EpochTable) -> None:
        """Does nothing."""

    def batch(self, table: EpochTable, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch, whichever is asked for."""
        return self.images, self.labels

    def batch_at(self, step: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch, whichever is asked for."""
        return self.images, self.labels


def frozen_batch(run: Any) -> Contestant:
    """Our step on one and the same batch, by the same engine: training without the loader."""
    table = first_table(run)
    loader: Any = FrozenLoader(run.loader, table)
    if isinstance(run.engine, GraphEngine):
        engine: Any = GraphEngine(
            StaticUpdate(
                run.update,
                loader,
                run.scheduler,
                run.sums,
                steps_per_epoch=run.steps_per_epoch,
                images=run.steps_per_epoch * loader.batch_size,
            ),
            Capture(run.device),
        )
    else:
        engine = EagerEngine(run.update, loader, run.scheduler, run.sums)

    def advance(steps: int) -> float:
        run.sums.clear()
        engine.begin(table)
        for step in range(steps):
            engine.train_on(step)
        return float(run.sums.losses[:steps].mean())

    return Contestant("frozen batch", advance, run.config.deterministic)
