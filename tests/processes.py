"""Real trainer processes for tests: a configuration that takes a second, and its exit code."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

from trainer.cli.forked import TrainerProcess

__all__ = ["TINY", "Trainer", "train"]

TINY = [
    "data=synthetic",
    "device=cpu",
    "data.train_images=120",
    "data.test_images=40",
    "batch_size=20",
    "epochs=4",
    "log.every_steps=2",
]


class Trainer(TrainerProcess):
    """Sees the GPUs that this process sees now, not those of when the first one was started."""

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        *,
        prepare: Callable[[], object] | None = None,
        stdout: Path | None = None,
    ) -> None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        within = functools.partial(_prepare, visible, prepare)
        super().__init__(arguments, folder, prepare=within, stdout=stdout)


def _prepare(visible: str | None, prepare: Callable[[], object] | None) -> None:
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    if prepare is not None:
        prepare()


def train(
    arguments: list[str],
    folder: Path,
    *,
    expect: int = 0,
    prepare: Callable[[], object] | None = None,
    stdout: Path | None = None,
) -> Trainer:
    """Runs to the end and checks the exit code."""
    process = Trainer(arguments, folder, prepare=prepare, stdout=stdout)
    code = process.code()
    assert code == expect, f"exit code {code}:\n{process.out}\n{process.err}"
    return process
