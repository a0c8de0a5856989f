"""What is doubtful about a schedule, before anything is trained with it."""

from collections.abc import Sequence

from trainer.schedules.schedule import ResolvedSchedule, Schedule


def lint(
    option: Schedule,
    resolved: ResolvedSchedule,
    base_lrs: Sequence[tuple[str, float]],
    *,
    has_validation: bool,
    key: str = "scheduler",
) -> list[str]:
    """Warnings, a line each; what is impossible was refused when the schedule was resolved.

    Args:
        option: The schedule.
        resolved: The same in whole steps.
        base_lrs: Name and base LR of each parameter group.
        has_validation: Whether images were kept out of training to choose by.
        key: Where the option stands.
    """
    warnings = list(resolved.notes.warnings)
    floor = option.floor()
    for name, base_lr in base_lrs:
        group = "" if len(base_lrs) == 1 else f" of group {name}"
        if floor > base_lr:
            warnings.append(
                f"{key}: its floor {floor:g} is above the base LR {base_lr:g}{group}, so the LR "
                "rises towards it"
            )
        if base_lr > 0 and (epoch := _idle_epoch(resolved, base_lr)) is not None:
            warnings.append(
                f"{key}: the LR{group} is exactly 0 for the whole of epoch {epoch + 1}: nothing is "
                "learned in it"
            )
    if resolved.plateau is not None and not has_validation:
        monitor = resolved.plateau.option.monitor
        if monitor == "auto" or monitor.startswith("test/"):
            warnings.append(
                f"{key}.monitor={monitor}: the plateau watches the test set; data.val_size "
                "gives it data of its own"
            )
    return warnings


def _idle_epoch(resolved: ResolvedSchedule, base_lr: float) -> int | None:
    """The first epoch in which every step has LR 0."""
    steps = resolved.steps_per_epoch
    for start in range(0, resolved.updates, steps):
        if all(resolved.lr(k, base_lr) == 0 for k in range(start, start + steps)):
            return start // steps
    return None
