"""One evaluation of a trained model, from its data to what is printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.cli.words import percent
from trainer.data.build import Data, load_data
from trainer.data.image_set import ImageSet
from trainer.inference import record
from trainer.inference.scores import Scores, outputs, score
from trainer.inference.trained import Trained
from trainer.training import device
from trainer.training.evaluation import Evaluator

MOST_CONFUSED = 3


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation.

    Attributes:
        trained: The model.
        split: `test`, `val` or `train`.
        machine: Precision and device, in words.
        scores: What came out.
        recorded: Loss and accuracy of the same weights as the run itself has them; None: it has
            not evaluated them on these images.
        data_changed: Whether the data set is another than the run was trained on.
    """

    trained: Trained
    split: str
    machine: str
    scores: Scores
    recorded: tuple[float, float] | None
    data_changed: bool

    @property
    def same(self) -> bool:
        """Whether the run's own numbers are these, to the last bit."""
        return self.recorded == (self.scores.loss, self.scores.accuracy)

    def values(self) -> dict[str, Any]:
        """Everything as plain values."""
        trained, recorded = self.trained, self.recorded
        row = None if recorded is None else {"loss": recorded[0], "accuracy": recorded[1]}
        return {
            "checkpoint": str(trained.source.path),
            "weights": trained.place.weights,
            "epoch": int(trained.source.state["progress"]["epoch"]),
            "step": trained.step,
            "model": trained.config.model.name,
            "data": trained.config.data.name,
            "split": self.split,
            "computed": self.machine,
            "recorded": row,
            "data_changed": self.data_changed,
            **record.entries(self.scores),
        }

    def lines(self) -> list[str]:
        """The lines for the screen."""
        scores, values = self.scores, record.entries(self.scores)
        lines = [
            self.trained.title(),
            *(f"note: {note}" for note in self.trained.notes),
            f"{self.split}: {values['images']:,} images of {self.trained.config.data.name}, "
            f"{self.machine}",
            f"loss {scores.loss:.4f}  accuracy {percent(scores.accuracy)}  calibration error "
            f"{percent(scores.calibration.error)} (mean confidence "
            f"{percent(scores.calibration.mean_confidence)})",
            *self._against_the_run(),
            "",
            *_table(values),
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
            loss, accuracy = self.recorded
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


def evaluate(trained: Trained, split: str) -> Evaluated:
    """Evaluates a model on a split of its run's data, training images as they are.

    Raises:
        ValueError: If the run has no such split.
        FileNotFoundError: If the data set is missing.
    """
    data = load_data(trained.config.data)
    images = _images(data, split)
    where, precision = trained.on_device()
    flip = trained.config.test_time_flip
    result = outputs(Evaluator.on(images, where, precision, flip=flip), trained.model)
    machine = f"{precision if precision != 'none' else 'fp32'} on {device.describe(where)}"
    scores = score(result, trained.classes)
    fingerprint = trained.source.state["fingerprint"]
    changed = fingerprint.get("data.sha256", data.sha256) != data.sha256
    recorded = None if changed else _recorded(trained.row, split, data.split)
    return Evaluated(trained, split, machine, scores, recorded, changed)


def _images(data: Data, split: str) -> ImageSet:
    if split == "test":
        return data.test
    if split == "train":
        return data.train
    if data.split != "val":
        raise ValueError("--split val: the run kept no images out of training (data.val_size=0)")
    return data.evaluation


def _recorded(row: Mapping[str, float], split: str, evaluated: str) -> tuple[float, float] | None:
    keys = f"{split}/loss", f"{split}/accuracy"
    if split != evaluated or not row.keys() >= set(keys):
        return None
    return row[keys[0]], row[keys[1]]


def _table(values: Mapping[str, Any]) -> list[str]:
    rows = [*values["classes"], {"name": "mean", **values["macro"], "images": values["images"]}]
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'class':<{width}}  precision   recall       F1   images"]
    for row in rows:
        numbers = "  ".join(
            f"{percent(float(row[key])):>8}" for key in ("precision", "recall", "f1")
        )
        lines.append(f"{row['name']:<{width}}    {numbers}  {row['images']:7,}")
    return lines
