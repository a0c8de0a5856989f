"""The stretch of training that a schedule is resolved for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from trainer.schedules.durations import Duration, parse
from trainer.schedules.plateau_state import PlateauState, PlateauTracker


@dataclass(slots=True)
class Notes:
    """What comes up while a schedule is resolved, shared by all its parts.

    Attributes:
        rounded: A line for each duration that did not land on a whole step.
        warnings: A line for each doubtful setting.
        plateau_state: Counters that a plateau goes on from.
        warmups: First and last step (W) of each warm-up.
        plateau: Filled by a plateau anywhere in the schedule: who has to see the metrics.
        momentum: Filled by a schedule that cycles it: the momentum of step k.
    """

    rounded: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    plateau_state: PlateauState | None = None
    warmups: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    plateau: PlateauTracker | None = None
    momentum: Callable[[int], float] | None = None


@dataclass(slots=True)
class Span:
    """A stretch of the run, in whole steps.

    Attributes:
        steps_per_epoch: Steps in an epoch.
        updates: Steps in this stretch.
        start: The run's step at which this stretch has its own step 0.
        notes: What came up so far.
    """

    steps_per_epoch: int
    updates: int
    start: int = 0
    notes: Notes = field(default_factory=Notes)

    def length(self, value: Duration, key: str, *, least: int = 0) -> int:
        """A duration in whole steps, rounded to the nearest.

        Args:
            value: The duration.
            key: Where it comes from, for messages.
            least: Smallest result allowed, in steps.

        Raises:
            ValueError: If it is not a duration, or shorter than `least` steps.
        """
        amount, unit = parse(value, key)
        if unit == "steps":
            exact = amount
        elif unit == "%":
            exact = amount * self.updates / 100
        else:
            exact = amount * self.steps_per_epoch
        updates = int(exact + Fraction(1, 2))
        if exact != updates:
            line = f"{key}={value} is {float(exact):.12g} steps: rounded to {updates}"
            if line not in self.notes.rounded:  # a change of length resolves the option again
                self.notes.rounded.append(line)
        if updates < least:
            raise ValueError(f"{key}={value}: is {updates} steps, must be at least {least}")
        return updates

    def after(self, start: int) -> Span:
        """The rest of this stretch from its own step `start` on."""
        return Span(self.steps_per_epoch, self.updates - start, self.start + start, self.notes)

    def warn(self, line: str) -> None:
        """Notes a doubtful setting."""
        if line not in self.notes.warnings:
            self.notes.warnings.append(line)
