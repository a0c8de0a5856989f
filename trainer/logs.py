"""The views of a run's history: metrics.jsonl, lr.csv and TensorBoard's event file."""

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

# protobuf makes these classes at run time, out of a type checker's sight
from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import (
    Summary,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.summary.writer.record_writer import RecordWriter

from trainer import storage
from trainer.history import History, Row, public

Point = tuple[str, int, float, float]
"""Tag, completed updates, value, wall-clock time."""


class Views:
    """Three files in a run folder that repeat what the checkpoint holds.

    They are written anew from the history at every start, then appended to after each commit, so
    that each row and point stands in them exactly once wherever the run was killed.

    Args:
        folder: The run folder.
        group_names: Name of each parameter group.
        steps_per_epoch: Updates in an epoch.
        every_steps: Updates between two LR points in TensorBoard.
    """

    def __init__(
        self, folder: Path, group_names: list[str], *, steps_per_epoch: int, every_steps: int
    ) -> None:
        self.folder = folder
        self.steps_per_epoch = steps_per_epoch
        self.every_steps = every_steps
        single = len(group_names) == 1
        self.lr_header = ",".join(["step", *("lr" if single else f"lr_{g}" for g in group_names)])
        self.lr_tags = ["lr"] if single else [f"lr/{group}" for group in group_names]
        self._rows = 0
        self._lrs = 0
        self._metrics: TextIO | None = None
        self._ledger: TextIO | None = None
        self._events: BinaryIO | None = None

    def rebuild(self, history: History) -> None:
        """Replaces the files by what the history says and opens them to go on.

        Raises:
            OSError: If one cannot be written; names it.
        """
        self.close()
        metrics, ledger = self.folder / "metrics.jsonl", self.folder / "lr.csv"
        storage.write_text(metrics, "".join(_metrics_lines(history, 0)))
        storage.write_text(ledger, f"{self.lr_header}\n" + "".join(_ledger_lines(history, 0)))
        self._metrics = metrics.open("a", encoding="utf-8")
        self._ledger = ledger.open("a", encoding="utf-8")
        self._open_events(history)
        self._rows, self._lrs = len(history.rows), len(history.lrs)

    def append(self, history: History) -> None:
        """Adds what the history has gained since the last call."""
        if self._metrics is None or self._ledger is None or self._events is None:
            raise RuntimeError("rebuild comes first")
        self._metrics.writelines(_metrics_lines(history, self._rows))
        self._ledger.writelines(_ledger_lines(history, self._lrs))
        _write_points(self._events, self._points(history, self._rows, self._lrs))
        for file in (self._metrics, self._ledger, self._events):
            file.flush()
        self._rows, self._lrs = len(history.rows), len(history.lrs)

    def close(self) -> None:
        """Closes the files."""
        for file in (self._metrics, self._ledger, self._events):
            if file is not None:
                file.close()
        self._metrics = self._ledger = self._events = None

    def _open_events(self, history: History) -> None:
        folder = self.folder / "tensorboard"
        folder.mkdir(exist_ok=True)
        before = list(folder.glob("events.out.tfevents.*"))
        # A new name each time: a TensorBoard that is watching reads new files, not replaced ones.
        now = time.time()
        path = folder / f"events.out.tfevents.{now:.6f}.{socket.gethostname()}.{os.getpid()}"
        file = path.open("wb")
        RecordWriter(file).write(
            Event(wall_time=now, file_version="brain.Event:2").SerializeToString()
        )
        _write_points(file, self._points(history, 0, 0))
        file.flush()
        for old in before:
            old.unlink()
        self._events = file

    def _points(self, history: History, rows: int, lrs: int) -> Iterator[Point]:
        """The points of the history from row and update on, in order of the updates."""
        now = time.time()
        times = {int(row["step"]): row["time"] for row in history.rows}
        moment = now
        for k in range(len(history.lrs) - 1, lrs - 1, -1):  # an update's time is its epoch's
            moment = times.get(k + 1, moment)
            times[k + 1] = moment
        left = iter(history.rows[rows:])
        row = next(left, None)
        for k in range(lrs, len(history.lrs)):
            step = k + 1
            if step == 1 or step % self.every_steps == 0 or step % self.steps_per_epoch == 0:
                for tag, lr in zip(self.lr_tags, history.lrs[k], strict=True):
                    yield tag, step, lr, times[step]
                if history.momenta:
                    yield "momentum", step, history.momenta[k], times[step]
            while row is not None and row["step"] <= step:
                yield from _row_points(row)
                row = next(left, None)


def _row_points(row: Row) -> Iterator[Point]:
    for key, value in row.items():
        tag = "speed/images_per_second" if key == "images_per_second" else key
        if "/" in tag:
            yield tag, int(row["step"]), value, row["time"]


def _metrics_lines(history: History, start: int) -> Iterator[str]:
    for row in history.rows[start:]:
        yield json.dumps(public(row)) + "\n"


def _ledger_lines(history: History, start: int) -> Iterator[str]:
    for k in range(start, len(history.lrs)):
        yield ",".join([str(k), *map(repr, history.lrs[k])]) + "\n"


def _write_points(file: BinaryIO, points: Iterator[Point]) -> None:
    # Written record by record in this thread: TensorBoard's own writer queues events in another
    # one, which loses the last of them in a crash and hides a full disk until the next call.
    writer = RecordWriter(file)
    for tag, step, value, wall_time in points:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        event = Event(wall_time=wall_time, step=step, summary=summary)
        writer.write(event.SerializeToString())
