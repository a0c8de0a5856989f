"""Suite `writing`: what logs and checkpoints cost.

Two trainings take turns, an epoch of `--steps` steps each. One only trains and evaluates (500
images); the other also makes its row, saves checkpoints, writes metrics.jsonl, lr.csv and
TensorBoard's event file, and waits until all of it is durable: nothing is hidden behind the
next epoch. Then checkpoints beside bare writes of as many bytes, and checkpoints of a run of 1,
30 and 100 epochs.
"""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, figure, in_turn, settle, spread, target
from benchmarks.ours import Unsaved
from benchmarks.setting import Setting
from trainer.cli.signals import StopRequest
from trainer.storage import checkpoint
from trainer.training.evaluation import Evaluator
from trainer.training.loop import train
from trainer.training.record import Record
from trainer.training.stopping import StopVote

EPOCH = 390  # steps in an epoch of CIFAR-10 at batch 128
LENGTHS = (1, 30, 100)  # epochs that a saved history has


def run(setting: Setting, folder: Path) -> Row:
    """The suite."""
    size = f"data.train_size={setting.steps * setting.batch_size}"
    bare, whole = (
        start(setting.build(size, "epochs=100000"), folder / kind.__name__, kind)
        for kind in (Unsaved, Everything)
    )
    epochs = {
        "epoch, nothing written": timed(lambda: train_epoch(bare)),
        "epoch, logs and checkpoint": timed(lambda: train_epoch(whole)),
    }
    for epoch in epochs.values():
        epoch()
    rows = [spread(name, times) for name, times in in_turn(epochs, setting.repeats).items()]
    without, with_all = rows
    extra = [b - a for a, b in zip(without["all_ms"], with_all["all_ms"], strict=True)]
    update = without["median_ms"] / setting.steps
    share = statistics.median(extra) / (EPOCH * update)
    commits, size = commit_rows(bare.run, folder, setting.repeats)
    bare.close()
    whole.close()
    print(f"a checkpoint is {size:,} bytes; a step took {update:.2f} ms here")
    figures = [
        figure("time: checkpoint / bare write + fsync", commits[0], commits[-1]),
        figure("time: checkpoint after 100 epochs / after 1", commits[2], commits[0]),
        {
            "name": f"share: logs and checkpoint / epoch of {EPOCH} steps",
            "value": share,
            **target(share, at_most=0.05),
        },
    ]
    return {"bytes": size, "rows": rows, "tables": {"commits": commits}, "figures": figures}


def timed(action: Callable[[], object]) -> Callable[[], float]:
    """An action that returns its seconds."""

    def clocked() -> float:
        settle()
        start = time.perf_counter()
        action()
        settle()
        return time.perf_counter() - start

    return clocked


def start(run: Any, folder: Path, kind: type[Record]) -> Record:
    """A run that evaluates on few images, and its record."""
    folder.mkdir(parents=True)
    evaluation = run.data.evaluation
    few = evaluation.slice(0, min(500, len(evaluation)))
    run.evaluator = Evaluator.on(few, run.device, run.precision)
    record = kind(run, folder)
    record.start(changed=False)
    return record


def train_epoch(record: Record) -> None:
    """Trains and evaluates an epoch, writes what the record writes, and waits for the disk."""
    run = record.run
    until = run.progress.step + run.steps_per_epoch
    train(run, record, StopVote(StopRequest(), run.peers, waits=True, until=until))
    record.wait()


class Everything(Record):
    """A record for which every epoch is the best so far."""

    def end_epoch(self, line: str, *, save: bool, best: bool) -> None:
        """As in `Record`."""
        super().end_epoch(line, save=True, best=True)


def commit_rows(run: Any, folder: Path, repeats: int) -> tuple[list[Row], int]:
    """Times of checkpoints with histories of some lengths, and of a bare write as large."""
    place, numbers, lrs = folder / "commits", iter(range(1, 10**6)), [*run.history.lrs]

    def commit(epochs: int) -> None:
        run.history.lrs[:] = [[0.04]] * (EPOCH * epochs)
        checkpoint.save(place, run.state_dict(), next(numbers), keep_last=2, best=False)

    def write() -> None:
        with (folder / "written").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        (folder / "written").unlink()

    commit(LENGTHS[0])
    files = {s.st_ino: s.st_size for s in map(Path.stat, place.glob("checkpoints/*"))}
    content = os.urandom(sum(files.values()))
    actions = {f"checkpoint, epoch {n}": timed(lambda n=n: commit(n)) for n in LENGTHS}
    times = in_turn(actions | {"bare write + fsync": timed(write)}, max(repeats, 2))
    run.history.lrs[:] = lrs
    return [spread(name, values) for name, values in times.items()], len(content)
