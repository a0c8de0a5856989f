"""A trained model: built, filled and described from its checkpoint alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trainer.cli.words import count
from trainer.config.fields import Config
from trainer.config.saved import put, read_saved, to_object
from trainer.inference.places import Place
from trainer.storage import checkpoint, files
from trainer.storage.checkpoint import Checkpoint
from trainer.storage.weights import evaluated_weights, load_weights
from trainer.training.device import choose_device, choose_precision, set_determinism
from trainer.training.history import Row
from trainer.training.update import PRECISIONS


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

    @property
    def notes(self) -> list[str]:
        """What was decided or passed over on the way to the checkpoint."""
        damaged = [f"passed over: {line}" for line in self.source.damaged]
        return [*self.place.notes, *damaged]

    def title(self) -> str:
        """Model, weights and file in a line."""
        progress, config = self.source.state["progress"], self.config
        position = f"epoch {progress['epoch']}"
        if progress["step_in_epoch"]:
            position += f" and {count(progress['step_in_epoch'], 'step')}"
        weights = {
            "best": f"best weights by {config.monitored()}, of",
            "last": "last weights, of",
        }.get(self.place.weights, "weights of")
        if self.source.state["ema"] is not None:
            weights = f"averaged {weights}"
        return f"{config.model.name}, {weights} {position}: {self.source.path}"

    def on_device(self) -> tuple[torch.device, str]:
        """Puts the model where it computes; returns the device and the run's own precision.

        A run in fp16 goes on in fp32 where there is no fp16; `amp=` asks for another precision.

        Raises:
            ValueError: If device or precision are not to be had here.
        """
        set_determinism(self.config.deterministic)
        device = choose_device(self.config.device)
        precision = choose_precision(self.config.amp, device)
        # as in training, or the last bits would differ
        self.model.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return device, precision


def load_trained(place: Place, values: Mapping[str, object]) -> Trained:
    """Reads a checkpoint, which is all that it takes.

    Args:
        place: Where it is.
        values: Settings of `settings.USE_KEYS` that were asked for.

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
    if place.file is None and place.folder is not None:
        return checkpoint.find(place.folder)
    if place.file is None:
        raise ValueError("neither a checkpoint nor a run folder")
    try:
        return Checkpoint(place.file.resolve(), checkpoint.load(place.file))
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
        on_cpu = choose_device(config.device).type == "cpu"
        config.amp = "none" if trained == "fp16" and on_cpu else trained
        if trained not in PRECISIONS:
            raise ValueError(f"{source.path}: its precision is {trained}, which is none")
    return config
