"""One evaluation of a trained model: from its data to what is printed and written."""

import dataclasses
import io
import json
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# protobuf makes these classes at run time, out of a type checker's sight
from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import (
    Summary,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.summary.writer.record_writer import RecordWriter

from trainer.cli.words import percent
from trainer.data.build import Data, load_data
from trainer.data.image_set import ImageSet
from trainer.inference.figures import draw_confusion, draw_reliability
from trainer.inference.scores import Scores, score
from trainer.inference.trained import Trained
from trainer.storage import files, run_folder

MOST_CONFUSED = 3
OWN = ".evaluation"  # ends the names of these event files: only such may be replaced


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation.

    Attributes:
        trained: The model.
        split: `test`, `val` or `train`.
        computed: Precision and device, in words.
        scores: What came out.
        recorded: Loss and accuracy of the same weights as the run itself has them; None: it has
            not evaluated them on these images.
        data_changed: Whether the data set is another than the run was trained on.
    """

    trained: Trained
    split: str
    computed: str
    scores: Scores
    recorded: dict[str, float] | None
    data_changed: bool

    @property
    def same(self) -> bool:
        """Whether the run's own numbers are these, to the last bit."""
        return self.recorded == {"loss": self.scores.loss, "accuracy": self.scores.accuracy}

    def values(self) -> dict[str, Any]:
        """Everything as plain values: evaluation.json."""
        trained = self.trained
        return {
            "checkpoint": str(trained.source.path),
            "weights": trained.place.weights,
            "epoch": int(trained.source.state["progress"]["epoch"]),
            "step": trained.step,
            "model": trained.config.model.name,
            "data": trained.config.data.name,
            "split": self.split,
            "computed": self.computed,
            "recorded": self.recorded,
            "data_changed": self.data_changed,
            **dataclasses.asdict(self.scores),
        }

    def lines(self) -> list[str]:
        """The lines for the screen."""
        scores = self.scores
        lines = [
            *self.trained.head(),
            f"{self.split}: {scores.images:,} images of {self.trained.config.data.name}, "
            f"{self.computed}",
            f"loss {scores.loss:.4f}  accuracy {percent(scores.accuracy)}  calibration error "
            f"{percent(scores.calibration_error)} (mean confidence "
            f"{percent(scores.mean_confidence)})",
            *self._against_the_run(),
            "",
            *_table(scores),
        ]
        confused = [
            f"{true} taken for {other} ({times} of {count})"
            for true, other, times, count in scores.confused(MOST_CONFUSED)
        ]
        return [*lines, "", f"most often: {', '.join(confused)}"] if confused else lines

    def _against_the_run(self) -> list[str]:
        lines: list[str] = []
        if self.data_changed:
            lines.append(
                "note: the data set is another than the run was trained on (its SHA-256 differs), "
                "so there is no row of the run's to compare with"
            )
        elif self.same:
            lines.append("the same as the run's own row, to the last bit")
        elif self.recorded is not None:
            loss, accuracy = self.recorded["loss"], self.recorded["accuracy"]
            lines.append(
                f"the run's own row: loss {loss:.4f}  accuracy {percent(accuracy)}; another "
                "device, precision or version rounds otherwise"
            )
        metric = self.trained.config.monitored()
        if self.trained.place.weights == "best" and metric.startswith(f"{self.split}/"):
            lines.append(
                f"note: these weights were chosen by {metric}, which flatters them; "
                "--weights last were not chosen"
            )
        return lines

    def write(self, folder: Path) -> None:
        """Writes evaluation.json, confusion.png, reliability.png and an event file.

        Args:
            folder: Where to; made if need be.

        Raises:
            OSError: If one cannot be written.
        """
        scores, config = self.scores, self.trained.config
        title = f"{config.name or config.model.name}, {self.split} images"
        pictures = {
            "confusion": draw_confusion(scores, title),
            "reliability": draw_reliability(scores, title),
        }
        files.make_folder(folder.absolute())
        text = json.dumps(self.values(), indent=2)
        files.write_text(folder / run_folder.EVALUATION_JSON, text + "\n")
        for name, picture in pictures.items():
            files.write(folder / f"{name}.png", picture)
        scalars = {
            "loss": scores.loss,
            "accuracy": scores.accuracy,
            "calibration_error": scores.calibration_error,
            "macro_f1": scores.macro["f1"],
        }
        write_events(folder, self.split, self.trained.step, scalars, pictures)


def evaluate(trained: Trained, split: str) -> Evaluation:
    """Evaluates a model on a split of its run's data, training images as they are.

    Raises:
        ValueError: If the run has no such split.
        FileNotFoundError: If the data set is missing.
        Exception: Whatever `Trained.outputs` raises.
    """
    data = load_data(trained.config.data)
    outputs = trained.outputs(_images(data, split))
    hashed = trained.source.state["fingerprint"].get("data.sha256", data.sha256)
    keys = {name: f"{split}/{name}" for name in ("loss", "accuracy")}
    recorded = None
    if hashed == data.sha256 and split == data.split and trained.row.keys() >= set(keys.values()):
        recorded = {name: trained.row[key] for name, key in keys.items()}
    scores = score(outputs, trained.classes)
    return Evaluation(trained, split, outputs.computed, scores, recorded, hashed != data.sha256)


def _images(data: Data, split: str) -> ImageSet:
    if split == "val" and data.split != "val":
        raise ValueError("--split val: the run kept no images out of training (data.val_size=0)")
    return {"train": data.train, "test": data.test, "val": data.evaluation}[split]


def _table(scores: Scores) -> list[str]:
    rows = [dataclasses.asdict(each) for each in scores.classes]
    rows.append({"name": "mean", **scores.macro, "images": scores.images})
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'class':<{width}}  precision   recall       F1   images"]
    for row in rows:
        shares = "  ".join(f"{percent(row[key]):>8}" for key in ("precision", "recall", "f1"))
        lines.append(f"{row['name']:<{width}}    {shares}  {row['images']:7,}")
    return lines


def write_events(
    folder: Path,
    split: str,
    step: int,
    scalars: Mapping[str, float],
    pictures: Mapping[str, bytes],
) -> None:
    """Writes an event file in place of the evaluation's that the folder holds; others stay.

    Args:
        folder: What TensorBoard shows as a run.
        split: In front of each name.
        step: Completed steps.
        scalars: By name.
        pictures: PNG files by name.
    """
    values = [Summary.Value(tag=f"{split}/{n}", simple_value=value) for n, value in scalars.items()]
    for name, content in pictures.items():
        width, height = struct.unpack(">II", content[16:24])  # of a PNG's first chunk
        image = Summary.Image(
            encoded_image_string=content, width=width, height=height, colorspace=4
        )
        values.append(Summary.Value(tag=f"{split}/{name}", image=image))
    now, buffer = time.time(), io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    event = Event(wall_time=now, step=step, summary=Summary(value=values))
    writer.write(event.SerializeToString())
    before = list(folder.glob(f"events.out.tfevents.*{OWN}"))
    # A new name each time: a TensorBoard that is watching reads new files, not replaced ones.
    name = f"events.out.tfevents.{now:.6f}{OWN}"
    files.write(folder / name, buffer.getvalue())
    for old in before:
        if old.name != name:
            old.unlink()
