"""The files of an evaluation: numbers, pictures and an event file of its own."""

import io
import json
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# protobuf makes these classes at run time, out of a type checker's sight
from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import (
    Summary,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.summary.writer.record_writer import RecordWriter

from trainer.cli import plot
from trainer.cli.words import percent
from trainer.inference.figures import draw_confusion, draw_reliability
from trainer.inference.scores import Scores
from trainer.storage import files, run_folder

OWN = ".evaluation"  # ends the names of these event files: only such may be replaced


def entries(scores: Scores) -> dict[str, Any]:
    """The scores as plain values; fractions, not percent."""
    columns = (scores.precision, scores.recall, scores.f1)
    bins = scores.calibration
    return {
        "images": int(scores.confusion.sum()),
        "loss": scores.loss,
        "accuracy": scores.accuracy,
        "calibration_error": bins.error,
        "mean_confidence": bins.mean_confidence,
        "macro": {
            name: float(column.mean())
            for name, column in zip(("precision", "recall", "f1"), columns, strict=True)
        },
        "classes": [
            {
                "name": name,
                "precision": float(scores.precision[n]),
                "recall": float(scores.recall[n]),
                "f1": float(scores.f1[n]),
                "images": int(scores.support[n]),
            }
            for n, name in enumerate(scores.classes)
        ],
        "confusion": scores.confusion.tolist(),
        "calibration": {
            "count": bins.count.tolist(),
            "confidence": bins.confidence.tolist(),
            "accuracy": bins.accuracy.tolist(),
        },
    }


def write(folder: Path, values: Mapping[str, Any], scores: Scores, *, title: str) -> None:
    """Writes evaluation.json, confusion.png, reliability.png and an event file.

    Args:
        folder: Where to; is there.
        values: For evaluation.json; `split` and `step` are used here, too.
        scores: What the pictures show.
        title: Heading of the pictures.

    Raises:
        OSError: If one cannot be written.
    """
    split, step, error = str(values["split"]), int(values["step"]), scores.calibration.error
    pictures = {
        "confusion": draw_confusion(scores, f"{title}: accuracy {percent(scores.accuracy)}"),
        "reliability": draw_reliability(
            scores.calibration, f"{title}: calibration error {percent(error)}"
        ),
    }
    images = {name: plot.png(figure) for name, figure in pictures.items()}
    files.write_text(folder / run_folder.EVALUATION_JSON, json.dumps(values, indent=2) + "\n")
    for name, image in images.items():
        files.write(folder / f"{name}.png", image)
    scalars = {
        f"{split}/loss": scores.loss,
        f"{split}/accuracy": scores.accuracy,
        f"{split}/calibration_error": error,
        f"{split}/macro_f1": float(scores.f1.mean()),
    }
    write_events(folder, step, scalars, {f"{split}/{n}": image for n, image in images.items()})


def write_events(
    folder: Path, step: int, scalars: Mapping[str, float], images: Mapping[str, bytes]
) -> None:
    """Writes an event file in place of the evaluation's that the folder holds; others stay.

    Args:
        folder: What TensorBoard shows as a run.
        step: Completed steps.
        scalars: By tag.
        images: PNG files by tag.
    """
    buffer, now = io.BytesIO(), time.time()
    writer = RecordWriter(buffer)
    writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
    for tag, content in images.items():
        width, height = struct.unpack(">II", content[16:24])  # of a PNG's first chunk
        image = Summary.Image(
            encoded_image_string=content, width=width, height=height, colorspace=4
        )
        values.append(Summary.Value(tag=tag, image=image))
    for value in values:
        event = Event(wall_time=now, step=step, summary=Summary(value=[value]))
        writer.write(event.SerializeToString())
    before = list(folder.glob(f"events.out.tfevents.*{OWN}"))
    # A new name each time: a TensorBoard that is watching reads new files, not replaced ones.
    name = f"events.out.tfevents.{now:.6f}.{socket.gethostname()}.{os.getpid()}{OWN}"
    files.write(folder / name, buffer.getvalue())
    for old in before:
        if old.name != name:
            old.unlink()
