"""What a schedule does when a resumed run gets another length: `on_horizon_change`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from trainer.schedules.plateau_state import PlateauState
from trainer.schedules.schedule import Curve, ResolvedSchedule, Schedule, staircase
from trainer.schedules.span import Notes, Span

CHOICES = {
    "hold": "keep the old curve, then its last LR",
    "continue": "let the same formula go on",
    "stretch": "take the curve of the new length from here on",
    "restart": "run the schedule anew over the added epochs",
    "tail": "decay linearly from the LR in force to the schedule's floor over what is left",
}


@dataclass(frozen=True, slots=True)
class Revision:
    """One change of a run's length, as the checkpoint records it.

    Attributes:
        choice: One of `CHOICES`.
        at: Steps completed when the length was changed.
        old: Steps of the run before.
        new: Steps of the run after.
        held: The step whose LR `hold` keeps where the LR moves once an epoch: the last one at
            which it moved. None: the last one of the run, as in checkpoints that lack this field;
            they go on with the LRs that they had.
    """

    choice: str
    at: int
    old: int
    new: int
    held: int | None = None

    def to_dict(self) -> dict[str, str | int]:
        """Plain values for the checkpoint."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def resolve_revised(
    option: Schedule,
    steps_per_epoch: int,
    updates: int,
    revisions: Sequence[Revision],
    *,
    plateau_state: PlateauState | None = None,
) -> ResolvedSchedule:
    """Resolves a schedule whose run has changed its length.

    Args:
        option: The schedule.
        steps_per_epoch: Steps in an epoch.
        updates: Steps of the run as it is planned now.
        revisions: Every change of the length so far, in order.
        plateau_state: Counters that a plateau goes on from.

    Raises:
        ValueError: If a parameter is out of range, or a revision makes no sense.
    """
    state = plateau_state or PlateauState()
    if not revisions:
        return option.resolve(steps_per_epoch, updates, plateau_state=state)
    option.check("scheduler")
    span = Span(steps_per_epoch, revisions[0].old, notes=Notes(plateau_state=state))
    curve = option.curve(span, "scheduler")
    for revision in revisions:
        momentum = span.notes.momentum
        curve = _revised(option, curve, revision, span)
        if momentum is not None and span.notes.momentum is not None:
            stair = steps_per_epoch if option.interval == "epoch" else 1
            span.notes.momentum = _momentum(momentum, span.notes.momentum, revision, stair)
    if option.interval == "epoch":
        curve = staircase(curve, span)
    return ResolvedSchedule(curve, steps_per_epoch, updates, span.notes)


def _revised(option: Schedule, before: Curve, revision: Revision, span: Span) -> Curve:
    """The curve `before`, changed by one revision."""
    at, old, new = revision.at, revision.old, revision.new
    if revision.choice == "continue":
        return before
    if revision.choice == "hold":
        held = old - 1 if revision.held is None else revision.held
        return lambda k, base_lr: before(min(k, held), base_lr)
    if revision.choice == "stretch":
        stretched = option.curve(
            Span(span.steps_per_epoch, new, span.start, span.notes), "scheduler"
        )
        return lambda k, base_lr: (before if k < at else stretched)(k, base_lr)
    if revision.choice == "restart":
        if new <= old:
            raise ValueError("on_horizon_change=restart: needs more epochs than before")
        added = Span(span.steps_per_epoch, new - old, old, span.notes)
        anew = option.curve(added, "scheduler")
        return lambda k, base_lr: before(k, base_lr) if k < old else anew(k - old, base_lr)
    if revision.choice == "tail":
        floor = option.floor()

        def tail(k: int, base_lr: float) -> float:
            if k < at:
                return before(k, base_lr)
            if new <= at:  # nothing is left to decay over
                return floor
            left = 1 - min(k - at, new - at) / (new - at)
            return floor + (before(at, base_lr) - floor) * left

        return tail
    raise ValueError(f"on_horizon_change={revision.choice}: must be one of {', '.join(CHOICES)}")


def _momentum(
    before: Callable[[int], float],
    anew: Callable[[int], float],
    revision: Revision,
    stair: int,
) -> Callable[[int], float]:
    """The momentum, changed as the curve is; `hold` and `tail` keep the one in force.

    Args:
        before: The momentum without this revision.
        anew: The momentum of the curve that the revision has resolved, if it needs one.
        revision: The change.
        stair: Steps between two moves: 1, or an epoch's.
    """
    at, old = revision.at, revision.old
    if revision.choice in ("hold", "tail"):
        last = old - 1 if revision.choice == "hold" else at
        return lambda k: before(min(k, last - last % stair))
    if revision.choice == "stretch":
        return lambda k: (before if k < at else anew)(k)
    if revision.choice == "restart":
        return lambda k: before(k) if k < old else anew(k - old)
    return before


def first_difference(
    one: ResolvedSchedule, other: ResolvedSchedule, base_lrs: Sequence[float]
) -> int | None:
    """The first step, up to the smaller end, at which two schedules differ; None: equal."""
    for k in range(min(one.updates, other.updates)):
        if any(one.lr(k, base) != other.lr(k, base) for base in base_lrs):
            return k
    return None
