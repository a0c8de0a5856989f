"""Real trainer processes for tests: a configuration that takes a second, and its exit code."""

import contextlib
import functools
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainer.__main__ import main
from trainer.cli.forked import TrainerProcess

__all__ = ["TINY", "Answer", "Trainer", "answer", "train"]

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


@dataclass(frozen=True)
class Answer:
    """What a command printed."""

    out: str
    err: str


def answer(arguments: list[str], folder: Path, *, expect: int = 0) -> Answer:
    """`python -m trainer` in this process, where neither signals nor Hydra's record are looked at.

    For what is refused, and for what goes on with a run.
    """
    out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    finally:
        os.chdir(before)
    assert code == expect, f"exit code {code}:\n{out.getvalue()}\n{err.getvalue()}"
    return Answer(out.getvalue(), err.getvalue())
