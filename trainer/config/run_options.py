"""Options of a run that concern its files, its screen and its end, free of torch."""

import math
from dataclasses import dataclass

from trainer.options.ranges import at_least, one_of


@dataclass(slots=True, kw_only=True)
class CheckpointOptions:
    """When to save a checkpoint and what to keep.

    Attributes:
        every_epochs: Save after every n epochs, after the last, and after the best so far.
        every_steps: Save also after every n steps; null: not within an epoch.
        keep_last: Number of newest checkpoints kept, at least 2.
        monitor: Metric that decides which weights are the best: `auto` is the accuracy on the
            validation set if there is one, else on the test set.
    """

    every_epochs: int = 1
    every_steps: int | None = None
    keep_last: int = 2
    monitor: str = "auto"

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""
        at_least(f"{key}.every_epochs", self.every_epochs, 1)
        at_least(f"{key}.keep_last", self.keep_last, 2)
        if self.every_steps is not None:
            at_least(f"{key}.every_steps", self.every_steps, 1)


@dataclass(slots=True, kw_only=True)
class EarlyStoppingOptions:
    """When a run ends before its last epoch; the schedule stays that of the whole length.

    Attributes:
        patience: Evaluations without an improvement of `checkpoint.monitor` that end the run; null:
            none do.
        min_delta: What counts as an improvement is more than this, at least 0.
    """

    patience: int | None = None
    min_delta: float = 0.0

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""
        if self.patience is not None:
            at_least(f"{key}.patience", self.patience, 1)
        if not (math.isfinite(self.min_delta) and self.min_delta >= 0):
            raise ValueError(f"{key}.min_delta={self.min_delta}: must be at least 0")


@dataclass(slots=True, kw_only=True)
class LogOptions:
    """What is shown, and how often.

    Attributes:
        every_steps: Steps between two readings of the loss and two points of the LR.
        progress: `bar` (tqdm), `lines` (one an epoch), `none`; `auto`: a bar on a terminal,
            lines elsewhere.
    """

    every_steps: int = 50
    progress: str = "auto"

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""
        at_least(f"{key}.every_steps", self.every_steps, 1)
        one_of(f"{key}.progress", self.progress, ("auto", "bar", "lines", "none"))
