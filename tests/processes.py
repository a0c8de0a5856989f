"""Real trainer processes for tests: a configuration that takes a second, and its exit code."""

from collections.abc import Callable
from pathlib import Path

from trainer.cli.forked import TrainerProcess as Trainer

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
