"""The history as TensorBoard's event file."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# protobuf makes these classes at run time, out of a type checker's sight
from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import (
    Summary,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.summary.writer.record_writer import RecordWriter

from trainer.storage import files
from trainer.training.history import History, Row

Point = tuple[str, int, float, float]
"""Tag, completed steps, value, wall-clock time."""


class EventFile:
    """The one event file of a run, written record by record.

    TensorBoard's own writer queues events for another thread, which loses the last of them in a
    crash and hides a full disk until the next call.

    Args:
        path: The folder that TensorBoard reads.
        lr_tags: Tag of each parameter group's LR.
        steps_per_epoch: Steps in an epoch.
        every_steps: Steps between two points of the LR.
    """

    def __init__(
        self, path: Path, lr_tags: list[str], *, steps_per_epoch: int, every_steps: int
    ) -> None:
        self.path = path
        self.lr_tags = lr_tags
        self.steps_per_epoch = steps_per_epoch
        self.every_steps = every_steps
        self._file: BinaryIO | None = None
        self._rows = self._points = self._lrs = 0

    def rebuild(self, history: History) -> None:
        """Replaces whatever is there by a file that says what the history says.

        Raises:
            OSError: If it cannot be written; what was there before stays.
        """
        self.close()
        files.make_folder(self.path)
        before = list(self.path.glob("events.out.tfevents.*"))
        # A new name each time: a TensorBoard that is watching reads new files, not replaced ones.
        now = time.time()
        name = f"events.out.tfevents.{now:.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (self.path / name).open("wb")
        header = Event(wall_time=now, file_version="brain.Event:2")
        RecordWriter(self._file).write(header.SerializeToString())
        self._rows = self._points = self._lrs = 0
        self.append(history)
        for old in before:
            if old.name != name:
                old.unlink()

    def append(self, history: History) -> None:
        """Adds what the history has gained since the last call."""
        if self._file is None:
            raise RuntimeError("rebuild comes first")
        writer = RecordWriter(self._file)
        for tag, step, value, wall_time in self._new_points(history):
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            event = Event(wall_time=wall_time, step=step, summary=summary)
            writer.write(event.SerializeToString())
        self._file.flush()
        self._rows, self._points = len(history.rows), len(history.points)
        self._lrs = len(history.lrs)

    def sync(self) -> None:
        """Waits until the disk has it all."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file; what could not be written is given up."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None

    def _new_points(self, history: History) -> Iterator[Point]:
        """The points that are not in the file yet, in order of the steps."""
        times = {int(row["step"]): row["time"] for row in history.rows}
        moment = time.time()
        for k in range(len(history.lrs) - 1, self._lrs - 1, -1):  # a step's time is its epoch's
            moment = times.get(k + 1, moment)
            times[k + 1] = moment
        # behind the LR of their step; those of an epoch that was stopped at its last step come late
        left = iter(
            sorted(
                [*history.points[self._points :], *history.rows[self._rows :]],
                key=lambda row: (row["step"], "epoch" in row),
            )
        )
        row = next(left, None)
        for k in range(self._lrs, len(history.lrs)):
            step = k + 1
            if step == 1 or step % self.every_steps == 0 or step % self.steps_per_epoch == 0:
                for tag, lr in zip(self.lr_tags, history.lrs[k], strict=True):
                    yield tag, step, lr, times[step]
                if history.momenta:
                    yield "momentum", step, history.momenta[k], times[step]
            while row is not None and row["step"] <= step:
                yield from _row_points(row)
                row = next(left, None)
        while row is not None:
            yield from _row_points(row)
            row = next(left, None)


def _row_points(row: Row) -> Iterator[Point]:
    step, moment = int(row["step"]), row["time"]
    if "epoch" not in row:
        yield "train/loss_within_epoch", step, row["train/loss"], moment
        return
    for key, value in row.items():
        tag = "speed/images_per_second" if key == "images_per_second" else key
        if "/" in tag:
            yield tag, step, value, moment
