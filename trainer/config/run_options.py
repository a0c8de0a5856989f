"""Options of a run that concern its files, its screen and its end, free of torch."""

from dataclasses import dataclass, field
from typing import Any

from trainer.options.marks import asked, at_least, one_of, where


@dataclass(kw_only=True)
class CheckpointOptions:
    """When to save a checkpoint and what to keep.

    Attributes:
        every_epochs: Save after every n epochs, after the last, and after the best so far.
        every_steps: Save also after every n steps; null: not within an epoch.
        keep_last: Number of newest checkpoints kept, at least 2.
        keep_at: Save and keep for good at these durations from the start, e.g. `[10, 20, "90%"]`:
            what `fork` can start from.
        keep_every: Save and keep for good after every n epochs; null: none.
        monitor: Metric that decides which weights are the best: `auto` is the accuracy on the
            validation set if there is one, else on the test set.
    """

    every_epochs: int = where(at_least(1, 1))
    every_steps: int | None = where(at_least(1, None))
    keep_last: int = where(at_least(2, 2))
    keep_at: list[Any] = where(field(default_factory=list[Any]))
    keep_every: int | None = where(at_least(1, None))
    monitor: str = "auto"


@dataclass(kw_only=True)
class EarlyStoppingOptions:
    """When a run ends before its last epoch; the schedule stays that of the whole length.

    Attributes:
        patience: Evaluations without an improvement of `checkpoint.monitor` that end the run; null:
            none do.
        min_delta: What counts as an improvement is more than this, at least 0.
    """

    patience: int | None = asked(at_least(1, None))
    min_delta: float = asked(at_least(0, 0.0))


@dataclass(kw_only=True)
class LogOptions:
    """What is shown, and how often.

    Attributes:
        every_steps: Steps between two readings of the loss and two points of the LR.
        progress: `bar` (tqdm), `lines` (one an epoch), `none`; `auto`: a bar on a terminal,
            lines elsewhere.
    """

    every_steps: int = where(at_least(1, 50))
    progress: str = where(one_of(("auto", "bar", "lines", "none"), "auto"))
