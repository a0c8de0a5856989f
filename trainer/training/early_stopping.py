"""When a run ends before its last epoch: what its history says, and nothing else."""

from collections.abc import Sequence

from trainer.training.run import Run
from trainer.training.summary import monitored_name, monitored_values


def reason(run: Run) -> str | None:
    """Why the run ends where it stands, in words; None: it goes on."""
    option, name = run.config.early_stopping, monitored_name(run)
    if option.patience is None:
        return None
    if evaluations_without_gain(monitored_values(run), option.min_delta) < option.patience:
        return None
    least = f" by more than {option.min_delta:g}" if option.min_delta else ""
    times = f"{option.patience} evaluation{'s' if option.patience > 1 else ''}"
    return f"{name} has not improved{least} in {times} (early_stopping.patience)"


def evaluations_without_gain(values: Sequence[float], min_delta: float) -> int:
    """Values since the last one that beat the best before it by more than `min_delta`.

    Args:
        values: In order, higher is better.
        min_delta: At least 0.

    Source: Prechelt, Early Stopping - But When?, 1998, criterion UP, with the counting of Keras's
    EarlyStopping.
    """
    best, waited = float("-inf"), 0
    for value in values:
        waited += 1
        if value - min_delta > best:
            best, waited = value, 0
    return waited
