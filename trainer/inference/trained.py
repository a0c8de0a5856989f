"""A trained model: built, filled and described from its checkpoint alone, and what it answers."""

import contextlib
import copy
import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trainer.cli.words import count
from trainer.config.fields import Config
from trainer.config.saved import put, read_saved, to_object
from trainer.data.image_set import ImageSet
from trainer.inference.which_checkpoint import Place
from trainer.storage import checkpoint, files
from trainer.storage.checkpoint import Checkpoint
from trainer.storage.weights import evaluated_weights, load_weights
from trainer.training import session
from trainer.training.device import (
    choose_device,
    choose_precision,
    describe,
    out_of_memory,
    set_determinism,
)
from trainer.training.evaluation import Evaluator
from trainer.training.history import Row
from trainer.training.update import PRECISIONS


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model answers to a set of images.

    Attributes:
        logits: `(N, classes)` float32, on the CPU.
        labels: `(N,)` int64, on the CPU.
        loss: Mean cross-entropy, added up as the run itself does.
        accuracy: Fraction classified rightly.
        computed: Precision and device, in words.
    """

    logits: torch.Tensor
    labels: torch.Tensor
    loss: float
    accuracy: float
    computed: str


@dataclass(frozen=True, slots=True)
class Trained:
    """A model as a run left it.

    Attributes:
        config: The run's, with `device` and the like as they were asked for now.
        model: In evaluation mode, float32, on the CPU.
        classes: Class names in label order.
        source: The checkpoint.
        place: How it was found.
    """

    config: Config
    model: nn.Module
    classes: tuple[str, ...]
    source: Checkpoint
    place: Place

    @property
    def step(self) -> int:
        """Steps behind the weights."""
        return int(self.source.state["progress"]["step"])

    @property
    def row(self) -> Row:
        """The run's own metrics of these weights; empty: they were not evaluated."""
        rows: list[Row] = self.source.state["history"]["rows"]
        return next((dict(row) for row in reversed(rows) if row["step"] == self.step), {})

    def head(self) -> list[str]:
        """Model, weights and file in a line; then what was decided or passed over to find them."""
        progress, config = self.source.state["progress"], self.config
        position = f"epoch {progress['epoch']}"
        if progress["step_in_epoch"]:
            position += f" and {count(progress['step_in_epoch'], 'step')}"
        ways = {"best": f"best weights by {config.monitored()}, of", "last": "last weights, of"}
        weights = ways.get(self.place.weights, "weights of")
        if self.source.state["ema"] is not None:
            weights = f"averaged {weights}"
        damaged = [f"passed over: {line}" for line in self.source.damaged]
        return [
            f"{config.model.name}, {weights} {position}: {self.source.path}",
            *(f"note: {note}" for note in (*self.place.notes, *damaged)),
        ]

    @torch.no_grad()
    def outputs(self, images: ImageSet) -> Outputs:
        """What the model answers, on the device and in the precision that are asked for.

        Loss and accuracy are the numbers that the run's own evaluation gives, bit for bit.

        Raises:
            ValueError: If device or precision are not to be had here.
            FloatingPointError: If logits or loss are not finite.
            MemoryError: If the device is out of memory.
            OSError: If the device does not work.
        """
        with explained(self.config):
            set_determinism(self.config.deterministic)
            device = choose_device(self.config.device)
            precision = choose_precision(self.config.amp, device)
            # as in training, or the last bits would differ
            layout: Any = {"device": device, "memory_format": torch.channels_last}
            model = copy.deepcopy(self.model).to(**layout)
            evaluator = Evaluator.on(images, device, precision, flip=self.config.test_time_flip)
            loss, correct = evaluator.zeros()
            answers: list[torch.Tensor] = []
            for batch, labels in evaluator.batches():
                logits = evaluator.logits(model, batch)
                evaluator.add_logits(logits, labels, loss, correct)
                answers.append(logits.float().cpu())
            mean_loss, accuracy = float(loss) / len(images), int(correct) / len(images)
            computed = f"{'fp32' if precision == 'none' else precision} on {describe(device)}"
        found = Outputs(torch.cat(answers), images.labels, mean_loss, accuracy, computed)
        if not (found.logits.isfinite().all() and math.isfinite(mean_loss)):
            way_out = "" if precision == "none" else "; amp=none computes in fp32"
            raise FloatingPointError(
                f"what the model answers is not finite (loss {mean_loss}) with "
                f"amp={precision}{way_out}"
            )
        return found

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `(N, classes)`, float32, on the CPU, of images `(N, 32, 32, 3)` uint8.

        Raises:
            Exception: Whatever `outputs` raises.
        """
        no_labels = torch.zeros(len(images), dtype=torch.int64)
        return self.outputs(ImageSet(images, no_labels, self.classes)).logits

    def most_probable(self, images: torch.Tensor, top: int) -> list[list[tuple[str, float]]]:
        """The `top` most probable classes of each image, as name and probability, and best first.

        Raises:
            ValueError: If there are fewer classes than were asked for.
            Exception: Whatever `outputs` raises.
        """
        if not 1 <= top <= len(self.classes):
            raise ValueError(f"--top {top}: must be in 1..{len(self.classes)}")
        shares, places = self.logits(images).double().softmax(1).topk(top)
        rows = zip(places.tolist(), shares.tolist(), strict=True)
        return [[(self.classes[n], p) for n, p in zip(*row, strict=True)] for row in rows]


@contextlib.contextmanager
def explained(config: Config) -> Generator[None]:
    """Explains what a device reports as training does; of memory in other words.

    Training's way out is another batch size, which is fixed here.

    Raises:
        MemoryError: If there was too little.
        OSError: If the device does not work.
    """
    try:
        yield
    except RuntimeError as error:
        if (known := session.explained(error, config)) is None:
            raise
        if isinstance(known, MemoryError):
            words = "the machine is out of memory"
            if out_of_memory(error):
                words = "the GPU is out of memory; device=cpu computes without it"
            known = MemoryError(f"device={config.device}: {words}")
        raise known from error


def load_trained(place: Place, values: Mapping[str, object]) -> Trained:
    """Reads a checkpoint, which is all that it takes.

    Args:
        place: Where it is.
        values: Settings of `arguments.USE_KEYS` that were asked for.

    Raises:
        FileNotFoundError: If it has gone.
        DamagedFile: If it is damaged.
        ValueError: If it is not a classifier's, or of another version.
        FloatingPointError: If its weights are not finite.
    """
    source = _read(place)
    config = read_config(source, values)
    classes = config.data.classes()
    if not classes:
        raise ValueError(
            f"{source.path}: was trained on data={config.data.name}, which has no classes to tell "
            "apart"
        )
    model = config.model.build(len(classes))
    weights = evaluated_weights(source.state)
    load_weights(model, weights, path=source.path, name=config.model.name)
    for key, tensor in weights.items():
        if not tensor.isfinite().all():  # a run saves none; whoever made the file did
            raise FloatingPointError(f"{source.path}: its weights are not finite: {key}")
    return Trained(config, model.eval(), classes, source, place)


def _read(place: Place) -> Checkpoint:
    if place.path.is_dir():
        return checkpoint.find(place.path)
    try:
        return Checkpoint(place.path.resolve(), checkpoint.load(place.path))
    except files.DamagedFile as error:
        if place.weights != "best":
            raise
        way_out = "--weights last takes the newest whole checkpoint"
        raise files.DamagedFile(f"{error}; {way_out}") from error


def read_config(source: Checkpoint, values: Mapping[str, object]) -> Config:
    """The saved configuration, computed wherever there is a device, as precisely as it was."""
    node: Any = read_saved(source.state["config"], source.path)
    node.resume, node.device = None, "auto"
    for key, value in values.items():
        put(node, key, value, f"{key}={value}")
    config = to_object(node)
    config.anchor()
    if "amp" not in values:
        trained = str(source.state["fingerprint"].get("precision"))
        if trained not in PRECISIONS:
            raise ValueError(f"{source.path}: its precision is {trained}, which is none")
        on_cpu = choose_device(config.device).type == "cpu"
        config.amp = "none" if trained == "fp16" and on_cpu else trained
    return config
