"""Where a run stands and what has happened in it; the checkpoint keeps both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from trainer.schedules.lr_schedule import LRSchedule


@dataclass(slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        epoch: Epochs completed.
        step_in_epoch: Steps completed in the epoch under way.
        step: Steps completed.
        seconds: Time spent, over all its interruptions.
        train_seconds: Time that the steps of the epoch under way took.
        skipped_updates: Steps that the GradScaler left out, epoch under way excluded.
    """

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    train_seconds: float = 0.0
    skipped_updates: int = 0

    def advance(self) -> None:
        """One more step is done."""
        self.step_in_epoch += 1
        self.step += 1

    def next_epoch(self, skipped_updates: int) -> None:
        """The epoch under way is complete; so many of its steps were left out."""
        self.skipped_updates += skipped_updates
        self.epoch += 1
        self.step_in_epoch = 0
        self.train_seconds = 0.0


Row = dict[str, float]
# For the event file and the next row; not shown in metrics.jsonl.
HIDDEN = ("time", "total_seconds")


def public(row: Row) -> Row:
    """A row as users see it: `epoch` and the like are whole numbers."""
    return {
        key: int(value) if key in ("epoch", "step", "skipped_updates") else value
        for key, value in row.items()
        if key not in HIDDEN
    }


@dataclass(slots=True)
class History:
    """Everything that the logs show; they repeat it.

    Attributes:
        rows: One per epoch, as in `metrics.jsonl`, plus `time` (seconds since 1970) and
            `total_seconds` (spent on the run so far).
        points: One per `log.every_steps` steps, as in `steps.jsonl`, plus `time`.
        lrs: The LR of each step as it was in force, one value per parameter group.
        momenta: The momentum of each step, where the schedule cycles it.
    """

    rows: list[Row] = field(default_factory=list[Row])
    points: list[Row] = field(default_factory=list[Row])
    lrs: list[list[float]] = field(default_factory=list[list[float]])
    momenta: list[float] = field(default_factory=list[float])

    def note_lr(self, scheduler: LRSchedule, k: int) -> None:
        """Notes the LR, and the momentum where it is cycled, in force for step `k`."""
        self.lrs.append([*scheduler.get_last_lr()])
        if (momentum := scheduler.momentum(k)) is not None:
            self.momenta.append(momentum)

    def so_far(self) -> "History":
        """The same entries in lists of their own, which do not grow."""
        return History([*self.rows], [*self.points], [*self.lrs], [*self.momenta])

    def state_dict(self) -> dict[str, Any]:
        """Plain values, and the LRs as one float64 tensor `(updates, groups)`."""
        return {
            "rows": self.rows,
            "points": self.points,
            "lrs": torch.tensor(self.lrs, dtype=torch.float64),
            "momenta": torch.tensor(self.momenta, dtype=torch.float64),
        }

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> "History":
        """The history that `state_dict` gave."""
        rows, points = ([dict(row) for row in state[key]] for key in ("rows", "points"))
        return History(rows, points, state["lrs"].tolist(), state["momenta"].tolist())
