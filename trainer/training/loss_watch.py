"""Reads the losses as they arrive: points for the logs, and the end of a run that diverges."""

import math
import time
from collections.abc import Callable

import torch

from trainer.training.history import Row
from trainer.training.run import Run


class LossWatch:
    """Reads the losses of an epoch without making the device wait.

    They are copied to the host every `log.every_steps` steps, one copy under way at most, and all
    of them before each checkpoint. Each reading leaves the means since the last one in
    `run.history.points`.

    Args:
        run: What is trained.
        last_good: Says in words which checkpoint is there to go back to.
    """

    def __init__(self, run: Run, last_good: Callable[[], str]) -> None:
        self._run = run
        self._last_good = last_good
        self._losses = run.sums.losses
        cuda = self._losses.device.type == "cuda"
        self._host = torch.zeros_like(self._losses, device="cpu", pin_memory=cuda)
        self._copied = torch.cuda.Event() if cuda else None
        self._pending = 0
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """An epoch, or what is left of it, is about to be trained."""
        run, progress = self._run, self._run.progress
        before, points = progress.step - progress.step_in_epoch, run.history.points
        self._noted = max(int(points[-1]["step"]) - before, 0) if points else 0
        self._speeds: dict[int, float] = {}
        self._since = time.perf_counter(), progress.step_in_epoch

    def poll(self) -> float | None:
        """Starts or takes in a reading, after each step; the newest loss where one has arrived.

        Raises:
            FloatingPointError: If a loss is not finite.
        """
        run, done = self._run, self._run.progress.step_in_epoch
        due, together = done % run.config.log.every_steps == 0, run.peers.count > 1
        newest = None
        # When a copy arrives differs from process to process, but they must stop at one step.
        if self._pending and ((together and due) or (not together and self._arrived())):
            newest = self._take_in()
        if due:
            self._time(done)
            if not self._pending:
                self._host.copy_(run.peers.sum(self._losses), non_blocking=True)
                if self._copied is not None:
                    self._copied.record(torch.cuda.current_stream(self._losses.device))
                self._pending = done
        if newest is None and not together and self._pending and self._arrived():
            newest = self._take_in()
        return newest

    def check(self) -> None:
        """Waits for the losses so far; nothing is saved without this.

        Raises:
            FloatingPointError: If one of them, or a weight, is not finite.
        """
        run, done = self._run, self._run.progress.step_in_epoch
        self._pending = 0
        losses = run.peers.sum(self._losses)[:done].cpu()
        self._judge(losses)
        if done == run.steps_per_epoch:
            self._time(done)
        self._note(losses)
        # The newest step may have spoilt the weights, which no loss has shown yet.
        slots = [value for state in run.optimizer.state.values() for value in state.values()]
        held = [*run.model.state_dict().values(), *slots]
        floats = [t for t in held if isinstance(t, torch.Tensor) and t.is_floating_point()]
        if not torch.stack([t.isfinite().all().to(run.device) for t in floats]).all():
            raise FloatingPointError(
                f"the weights, or what the optimizer keeps, are not finite after step "
                f"{run.progress.step - 1} with LR {run.history.lrs[-1][0]:g}; {self._last_good()}"
            )

    def check_evaluation(self, row: Row) -> None:
        """Raises FloatingPointError if the evaluated loss is not finite."""
        split = self._run.data.split
        if not math.isfinite(row[f"{split}/loss"]):
            raise FloatingPointError(
                f"the {split} loss is {row[f'{split}/loss']} after epoch {row['epoch']} with LR "
                f"{row['lr']:g}; {self._last_good()}"
            )

    def _arrived(self) -> bool:
        return self._copied is None or self._copied.query()

    def _take_in(self) -> float:
        """The newest loss of the copy under way."""
        if self._copied is not None:
            self._copied.synchronize()
        losses, self._pending = self._host[: self._pending], 0
        self._judge(losses)
        self._note(losses)
        return float(losses[-1])

    def _judge(self, losses: torch.Tensor) -> None:
        run, place = self._run, first_non_finite(losses)
        if place is None:
            return
        k = run.progress.step - run.progress.step_in_epoch + place
        raise FloatingPointError(
            f"the loss is {float(losses[place])} at step {k} (epoch {run.progress.epoch + 1}) with "
            f"LR {run.history.lrs[k][0]:g}; {self._last_good()}; a lower optimizer.lr, a longer "
            "warm-up or clip_norm helps"
        )

    def _time(self, done: int) -> None:
        """Notes how fast the steps since the last point were carried out."""
        (before, first), now = self._since, time.perf_counter()
        if done > first:
            images = (done - first) * self._run.config.batch_size
            self._speeds[done] = round(images / max(now - before, 1e-9), 1)
        self._since = now, done

    def _note(self, losses: torch.Tensor) -> None:
        """A point for each `log.every_steps` steps that are known now, and for the epoch's end."""
        run, done = self._run, len(losses)
        every, start = run.config.log.every_steps, run.progress.step - run.progress.step_in_epoch
        ends = [*range(every, done + 1, every)]
        if done == run.steps_per_epoch and done % every:
            ends.append(done)
        for end in ends:
            if end <= self._noted:
                continue
            run.history.points.append(
                {
                    "step": start + end,
                    "lr": run.history.lrs[start + end - 1][0],
                    "train/loss": float(losses[self._noted : end].double().mean()),
                    "images_per_second": self._speeds.get(end, 0.0),
                    "time": time.time(),
                }
            )
            self._noted = end


def first_non_finite(losses: torch.Tensor) -> int | None:
    """The first place with a NaN or an infinity; None: all finite."""
    if math.isfinite(float(losses.sum())):
        return None
    places = (~torch.isfinite(losses)).nonzero()
    return int(places[0]) if len(places) else None
