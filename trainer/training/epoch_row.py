"""What an epoch came to: a row of the history, and a line on the screen."""

import time

from trainer.cli.words import count
from trainer.training.history import Row
from trainer.training.run import Run


def epoch_row(run: Run, evaluation: tuple[float, float] | None) -> Row:
    """The row of the epoch that has just been trained.

    Args:
        run: With `progress.seconds` up to date.
        evaluation: Loss and score on the evaluated images; None: not evaluated.
    """
    progress, split, score = run.progress, run.data.split, run.config.task().score
    totals = run.sums.total(run.peers)
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


def epoch_line(run: Run, row: Row) -> str:
    """What an epoch came to, in one line."""
    task, split, epochs = run.config.task(), run.data.split, run.config.epochs
    score = task.score
    line = (
        f"epoch {int(row['epoch']):>{len(str(epochs))}}/{epochs}"
        f"  lr {row['lr']:<9.4g}"
        f"  train loss {row['train/loss']:.4f} {score} {task.written(row[f'train/{score}'])}"
    )
    if f"{split}/loss" in row:
        evaluated = task.written(row[f"{split}/{score}"])
        line += f"  {split} loss {row[f'{split}/loss']:.4f} {score} {evaluated}"
    line += f"  {row['seconds']:.1f} s  {row['images_per_second']:,.0f} {task.examples}/s"
    if row["skipped_updates"]:
        line += f"  {count(int(row['skipped_updates']), 'step')} skipped"
    return line
