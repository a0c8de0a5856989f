"""What every schedule is: an option that resolves into a pure function of the step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from typing_extensions import dataclass_transform

from trainer.options.marks import check, one_of
from trainer.options.registry import register
from trainer.schedules.plateau_state import PlateauState, PlateauTracker
from trainer.schedules.span import Notes, Span

Curve = Callable[[int, float], float]
"""`curve(k, base_lr)`: the LR in force for step `k` (from 0) of a group with that base LR."""

INTERVALS = ("step", "epoch")


@dataclass(kw_only=True)
class Schedule:
    """A learning-rate schedule as a user writes it down.

    Attributes:
        name: The option's name, as in `scheduler=<name>`.
        interval: `step`: the LR moves at every step. `epoch`: at each epoch's first step
            only, the staircase of a scheduler that is stepped once per epoch. Set on the
            outermost schedule.
    """

    takes_warmup: ClassVar[bool] = True  # whether `warmup_<name>` makes sense

    name: str = "?"
    interval: str = one_of(INTERVALS, "step")

    def check(self, key: str) -> None:
        """Raises ValueError, naming the key below `key`, for a value out of its range."""
        check(self, key)

    def curve(self, span: Span, key: str) -> Curve:
        """The schedule over `span`, smooth; `interval` is applied by `resolve`."""
        raise ValueError(f"{key}.name={self.name}: is not a schedule")

    def label(self) -> str:
        """A short name for pictures and tables."""
        inner = self.inner()
        return self.name if inner is None else f"{self.name}_{inner.label()}"

    def floor(self) -> float:
        """The LR that the schedule decays to."""
        return 0.0

    def inner(self) -> "Schedule | None":
        """The schedule inside, for a wrapper."""
        return None

    def resolve(
        self,
        steps_per_epoch: int,
        updates: int,
        *,
        plateau_state: PlateauState | None = None,
        key: str = "scheduler",
    ) -> "ResolvedSchedule":
        """Turns every duration into whole steps.

        Args:
            steps_per_epoch: Steps in an epoch, at least 1.
            updates: Steps in the whole run, at least 1.
            plateau_state: Counters that a plateau goes on from; None: fresh ones.
            key: Where the option stands, for messages.

        Returns:
            The LR as a function of the step, and what was noticed on the way.

        Raises:
            ValueError: If a parameter is out of range.
        """
        if steps_per_epoch < 1 or updates < 1:
            raise ValueError(f"{key}: a run of {updates} steps has no schedule")
        self.check(key)
        span = Span(steps_per_epoch, updates, notes=Notes(plateau_state=plateau_state))
        curve = self.curve(span, key)
        if self.interval == "epoch":
            curve = staircase(curve, span)
        return ResolvedSchedule(curve, steps_per_epoch, updates, span.notes)


OPTIONS: dict[str, type[Schedule]] = {}
"""What `scheduler=`, a phase and a saved configuration may name."""
S = TypeVar("S", bound=Schedule)


@dataclass_transform(kw_only_default=True)
def schedule(name: str) -> Callable[[type[S]], type[S]]:
    """Registers a dataclass as `scheduler=<name>`; `warmup_<name>` comes by itself.

    Raises:
        ValueError: If the name is taken.
    """
    return register("scheduler", OPTIONS, name)


@dataclass(frozen=True, slots=True)
class ResolvedSchedule:
    """A schedule in whole steps.

    Attributes:
        curve: The function that preview, training, resume and reports all call.
        steps_per_epoch: Steps in an epoch.
        updates: Steps in the whole run.
        notes: Rounded durations, warnings, and the plateau that wants to see the metrics.
    """

    curve: Curve
    steps_per_epoch: int
    updates: int
    notes: Notes

    def lr(self, k: int, base_lr: float) -> float:
        """The LR in force for step `k` (0-based) of a group with base LR `base_lr`."""
        return self.curve(k, base_lr)

    @property
    def momentum(self) -> Callable[[int], float] | None:
        """The momentum in force for step k, where the schedule cycles it."""
        return self.notes.momentum

    @property
    def plateau(self) -> PlateauTracker | None:
        """Who has to see the metrics, where there is one."""
        return self.notes.plateau


def staircase(curve: Curve, span: Span) -> Curve:
    """`curve`, and the momentum of `span`, held at the value at the start of each epoch."""
    steps = span.steps_per_epoch
    if (momentum := span.notes.momentum) is not None:
        span.notes.momentum = lambda k: momentum(k - k % steps)
    return lambda k, base_lr: curve(k - k % steps, base_lr)


def refuse_momentum(span: Span, key: str) -> None:
    """Raises ValueError if a schedule inside another one cycles the momentum."""
    if span.notes.momentum is not None:
        raise ValueError(
            f"{key}.cycle_momentum=true: only the outermost schedule can cycle the momentum; set "
            "it to false"
        )
