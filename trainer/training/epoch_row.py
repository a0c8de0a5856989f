"""What an epoch came to, as a row of the history."""

import time
from collections.abc import Mapping

import torch

from trainer.training.history import Row
from trainer.training.run import Run


def epoch_row(
    run: Run, totals: Mapping[str, torch.Tensor], evaluation: tuple[float, float] | None
) -> Row:
    """The row of the epoch that has just been trained.

    Args:
        run: With `progress.seconds` up to date.
        totals: The epoch's sums over all processes, as `EpochSums.total` gives them.
        evaluation: Loss and score on the evaluated images; None: not evaluated.
    """
    progress, split, score = run.progress, run.data.split, run.config.task().score
    sizes = _batch_sizes(run)
    trained_on = sum(sizes)
    weighted = zip(totals["losses"].double().tolist(), sizes, strict=True)
    before = run.history.rows[-1]["total_seconds"] if run.history.rows else 0.0
    row: Row = {
        "epoch": progress.epoch + 1,
        "step": progress.step,
        "lr": run.history.lrs[-1][0],
        "train/loss": sum(loss * size for loss, size in weighted) / trained_on,
        f"train/{score}": float(totals["score"]) / trained_on,
    }
    if evaluation is not None:
        row[f"{split}/loss"], row[f"{split}/{score}"] = evaluation
    return row | {
        "skipped_updates": int(totals["skipped"]),
        "seconds": round(progress.seconds - before, 3),
        "images_per_second": round(trained_on / max(progress.train_seconds, 1e-9), 1),
        "total_seconds": progress.seconds,
        "time": time.time(),
    }


def _batch_sizes(run: Run) -> list[int]:
    size, images = run.config.batch_size, len(run.data.train)
    return [min(size, images - step * size) for step in range(run.steps_per_epoch)]
