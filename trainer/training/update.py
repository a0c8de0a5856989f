"""One step, written once."""

import contextlib
import functools
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel

from trainer.data.epoch_table import EpochTable
from trainer.data.loader import Loader
from trainer.data.mixup import Targets
from trainer.schedules.lr_schedule import LRSchedule
from trainer.training.losses import Classification, Objective
from trainer.training.peers import ALONE, Peers
from trainer.training.weight_average import WeightAverage

PRECISIONS = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(slots=True)
class EpochSums:
    """What an epoch adds up on the device, read by the host when it wants.

    Attributes:
        step: int64: steps completed in the epoch. On the device, because a captured step reads
            its place from it.
        losses: `(steps_per_epoch,)` float32: the mean loss of each batch so far, else 0; of several
            processes, each one's part of it.
        score: float64: what the objective counts, for classes the images classified rightly as
            they were trained on.
        skipped: int64: steps left out by the GradScaler.
    """

    step: torch.Tensor
    losses: torch.Tensor
    score: torch.Tensor
    skipped: torch.Tensor
    _places: torch.Tensor

    @staticmethod
    def zeros(steps_per_epoch: int, device: torch.device) -> "EpochSums":
        """An epoch that has not begun."""
        return EpochSums(
            torch.zeros((), dtype=torch.int64, device=device),
            torch.zeros(steps_per_epoch, device=device),
            torch.zeros((), dtype=torch.float64, device=device),
            torch.zeros((), dtype=torch.int64, device=device),
            torch.arange(steps_per_epoch, device=device),
        )

    def add(self, loss: torch.Tensor) -> None:
        """Notes the mean loss of a batch and moves on to the next."""
        # Neither a Python index, which a capture would freeze, nor a scatter, which CUDA sorts to
        # be deterministic.
        torch.where(self._places == self.step, loss, self.losses, out=self.losses)
        self.step += 1

    def clear(self) -> None:
        """The next epoch begins."""
        self.step.zero_()
        self.losses.zero_()
        self.score.zero_()
        self.skipped.zero_()

    def total(self, peers: Peers = ALONE) -> dict[str, torch.Tensor]:
        """Copies on the CPU, summed over the processes, all of which skip the same steps."""
        return {
            "losses": peers.sum(self.losses).cpu().clone(),
            "score": peers.sum(self.score).cpu().clone(),
            "skipped": self.skipped.cpu().clone(),
        }

    def load_state_dict(
        self, state: dict[str, torch.Tensor], step: int, peers: Peers = ALONE
    ) -> None:
        """Goes on from a total, after `step` steps of the epoch; the first process keeps it."""
        self.step.fill_(step)
        if peers.leads:
            self.losses.copy_(state["losses"])
            # "correct" is its name in older checkpoints
            self.score.copy_(state["score"] if "score" in state else state["correct"])
        self.skipped.copy_(state["skipped"])


class Update:
    """Forward, backward, optimizer and metrics of one batch; nothing here waits for the device.

    Args:
        model: The network.
        optimizer: Its optimizer; the LR in force is whatever the schedule wrote into it.
        precision: `none`, `bf16` or `fp16`.
        scaler: Scales the loss; disabled unless the precision is fp16.
        accumulate: Micro-batches per batch.
        clip_norm: Largest gradient norm; None: not clipped.
        objective: Loss and score; None: of classes, without label smoothing.
        average: Of the weights; None: not wanted.
        processes: How many share each batch.

    Attributes:
        parallel: The model with its gradients averaged over the processes; None: one process.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        precision: str,
        scaler: GradScaler,
        accumulate: int = 1,
        clip_norm: float | None = None,
        objective: Objective | None = None,
        average: WeightAverage | None = None,
        processes: int = 1,
    ) -> None:
        self.parallel: DistributedDataParallel | None = None
        self.model = model
        self.optimizer = optimizer
        self.precision = precision
        self.scaler = scaler
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.objective: Objective = objective or Classification()
        self.average = average
        self.processes = processes

    def __call__(self, images: torch.Tensor, labels: Targets, sums: EpochSums) -> None:
        """Trains on one batch.

        Args:
            images: `(n, 3, 32, 32)` float32, normalised; or features `(n, f)`.
            labels: `(n,)` int64, or those of blended images; or values `(n,)`.
            sums: Gets the batch's loss, its score and whether it was skipped.
        """
        self.optimizer.zero_grad(set_to_none=True)
        losses = list[torch.Tensor]()
        micro = -(-len(labels) // self.accumulate)
        parts = list(zip(images.split(micro), labels.split(micro), strict=True))
        for number, (some_images, some_labels) in enumerate(parts, 1):
            with self._exchange(last=number == len(parts)):
                with autocast(images.device, self.precision):
                    logits = (self.parallel or self.model)(some_images)
                loss = self.objective.loss(logits.float(), some_labels)
                if self.accumulate > 1:  # the mean over the batch, however large the last part
                    loss = loss * (len(some_labels) / len(labels))
                self.scaler.scale(loss).backward()
            losses.append(loss.detach())
            sums.score += self.objective.score(logits.detach(), some_labels)
        if self.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)  # clip what the optimizer will see
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self._step(sums)
        if self.average is not None:
            self.average.update()
        total = functools.reduce(torch.add, losses)
        sums.add(total / self.processes if self.processes > 1 else total)

    def _exchange(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Processes exchange the gradients of a batch once, with those of its last part."""
        if last or self.parallel is None:
            return contextlib.nullcontext()
        return self.parallel.no_sync()

    def _step(self, sums: EpochSums) -> None:
        if not self.scaler.is_enabled():
            self.optimizer.step()
            return
        self.scaler.step(self.optimizer)
        # The scaler's own note of an overflow, per device, still on the device: asking it for the
        # scale would wait. update() clears it.
        found = self.scaler._found_inf_per_device(self.optimizer)  # pyright: ignore
        for overflow in found.values():
            sums.skipped += (overflow > 0).sum()
        self.scaler.update()


class Engine(Protocol):
    """Carries out the steps of an epoch."""

    def begin(self, table: EpochTable) -> None:
        """An epoch, or what is left of it, is about to be trained."""
        ...

    def train_on(self, step: int) -> None:
        """Trains on batch `step` of the epoch and moves the schedule on to the next step."""
        ...


class EagerEngine:
    """Launches one operation after the other: the reference for every other engine.

    Args:
        update: The step.
        loader: Cuts the batches.
        scheduler: Writes the LR.
        sums: Of the epoch under way.
    """

    def __init__(
        self, update: Update, loader: Loader, scheduler: LRSchedule, sums: EpochSums
    ) -> None:
        self.update = update
        self.loader = loader
        self.scheduler = scheduler
        self.sums = sums
        self._table: EpochTable | None = None

    def begin(self, table: EpochTable) -> None:
        """An epoch, or what is left of it, is about to be trained."""
        self._table = table

    def train_on(self, step: int) -> None:
        """Trains on batch `step` of the epoch and moves the schedule on to the next step."""
        if self._table is None:
            raise RuntimeError("begin comes first")
        self.update(*self.loader.batch(self._table, step), self.sums)
        self.scheduler.step()


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Mixed precision for a forward pass; nothing for `none`."""
    dtype = PRECISIONS[precision]
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)
