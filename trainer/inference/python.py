"""A run from Python: trained as the command trains it, and what came of it."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from trainer.cli.signals import Stopped
from trainer.config.choices import load_plugins, with_config_dir
from trainer.config.overrides import parse
from trainer.config.quoting import quoted
from trainer.inference.trained import load_trained
from trainer.inference.which_checkpoint import resolve
from trainer.storage import run_folder
from trainer.training import start
from trainer.training.session import run_session


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A run that has come to its end.

    Attributes:
        folder: Its run folder, with all that the command writes.
    """

    folder: Path

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows of `metrics.jsonl`, one per evaluated epoch; accuracies are fractions."""
        return run_folder.rows(self.folder)

    @property
    def model(self) -> nn.Module:
        """The network with its last weights (averaged, with `ema`), on the CPU, for evaluation."""
        place = resolve(self.folder, "last")
        return load_trained(place, {"device": "cpu", "amp": "none"}).model


def train(overrides: Sequence[str]) -> TrainedRun:
    """See `trainer.train`."""
    arguments = [quoted(argument) for argument in with_config_dir(overrides)]
    parsed = parse(arguments)
    load_plugins(parsed)
    command = ["python", "-m", "trainer", *overrides]
    with contextlib.ExitStack() as locks:
        begun = start.begin(arguments, parsed, locks)
        resumed = begun.resumed if isinstance(begun, start.Resume) else None
        try:
            run_session(begun.config, begun.folder, resumed, command)
        except Stopped as stopped:
            raise KeyboardInterrupt(str(stopped)) from stopped
    return TrainedRun(begun.folder)
