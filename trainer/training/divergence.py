"""Stops a run whose loss or weights are no longer finite, and says since when."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainer.training.history import Row
from trainer.training.loss_reader import LossReader, first_non_finite
from trainer.training.run import Run


@dataclass(frozen=True, slots=True)
class DivergenceCheck:
    """Looks at the losses as they arrive, and at the weights before each checkpoint.

    Attributes:
        run: What is trained.
        reader: Reads the losses.
        last_good: Says in words which checkpoint is there to go back to.
    """

    run: Run
    reader: LossReader
    last_good: Callable[[], str]

    def watch(self) -> float | None:
        """Starts or takes in a reading of the losses, every `log.every_steps` steps.

        Returns:
            The newest loss, where a reading has arrived.

        Raises:
            FloatingPointError: If a loss is not finite.
        """
        done, together = self.run.progress.step_in_epoch, self.run.peers.count > 1
        due = done % self.run.config.log.every_steps == 0
        # When a copy arrives differs from process to process, but they must stop at one step.
        reading = self.reader.wait() if together and due else None
        if due:
            self.reader.request(done)
        if not together:
            reading = self.reader.poll()
        if reading is None:
            return None
        newest, bad = reading
        if bad is not None:
            self._stop_at(bad)
        return newest

    def check(self) -> None:
        """Waits for the losses so far; nothing is saved without this.

        Raises:
            FloatingPointError: If one of them, or a weight, is not finite.
        """
        run = self.run
        losses = self.reader.read(run.progress.step_in_epoch)
        if (bad := first_non_finite(losses)) is not None:
            self._stop_at(bad)
        # The newest step may have spoilt the weights, which no loss has shown yet.
        slots = [value for state in run.optimizer.state.values() for value in state.values()]
        held = [*run.model.state_dict().values(), *slots]
        floats = [t for t in held if isinstance(t, torch.Tensor) and t.is_floating_point()]
        if not torch.stack([t.isfinite().all().to(run.device) for t in floats]).all():
            raise FloatingPointError(
                f"the weights, or what the optimizer keeps, are not finite after step "
                f"{run.progress.step - 1} with LR {run.history.lrs[-1][0]:g}; {self.last_good()}"
            )

    def check_evaluation(self, row: Row) -> None:
        """Raises FloatingPointError if the evaluated loss is not finite."""
        split = self.run.data.split
        if not math.isfinite(row[f"{split}/loss"]):
            raise FloatingPointError(
                f"the {split} loss is {row[f'{split}/loss']} after epoch {row['epoch']} with LR "
                f"{row['lr']:g}; {self.last_good()}"
            )

    def _stop_at(self, place: int) -> None:
        run = self.run
        k = run.progress.step - run.progress.step_in_epoch + place
        loss = float(self.reader.read(run.progress.step_in_epoch)[place])
        lr = run.history.lrs[k][0]
        raise FloatingPointError(
            f"the loss is {loss} at step {k} (epoch {run.progress.epoch + 1}) with LR {lr:g}; "
            f"{self.last_good()}; a lower optimizer.lr, a longer warm-up or clip_norm helps"
        )
