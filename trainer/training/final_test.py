"""The one reading of the test set of a run that chose its weights on a validation set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trainer.cli import console
from trainer.cli.console import log
from trainer.storage import checkpoint, files, run_folder
from trainer.storage.weights import evaluated_weights
from trainer.training import summary
from trainer.training.build import build_evaluator
from trainer.training.run import Run


def final_test(run: Run, folder: Path, check: Callable[[], object]) -> dict[str, Any]:
    """The test set, read once: with the last and the best weights, if a validation set was used.

    Args:
        run: At its end.
        folder: Holds the best weights.
        check: Called while evaluating; may raise.
    """
    if run.data.split == "test":
        return {}
    evaluator, task = (
        build_evaluator(run.config, run.data.test, run.device, run.precision, run.peers),
        run.config.task(),
    )
    result: dict[str, Any] = {}
    model = run.evaluated
    weights = {"last": {name: value.clone() for name, value in model.state_dict().items()}}
    if (best := best_weights(run, folder)) is not None:
        weights["best"] = best
    for name in sorted(weights):  # the last weights last: they stay in the model
        model.load_state_dict(weights[name])
        loss, score = evaluator(model, check)
        result[f"test_{name}"] = {"loss": loss, task.score: score}
        words = name, loss, task.score, task.written(score).strip()
        log.info("test set, %s weights: loss %.4f %s %s", *words)
    return result


def best_weights(run: Run, folder: Path) -> dict[str, torch.Tensor] | None:
    """The weights of the best epoch, which the first process reads for all; None: they are lost."""
    path = run_folder.best_file(folder)
    content: bytes | None = None
    if run.peers.leads:
        try:
            content = _best_file(run, path)
        except (OSError, files.DamagedFile) as error:
            log.warning("warning: the best weights cannot be tested: %s", console.one_line(error))
    content = run.peers.from_first(content)
    return None if content is None else evaluated_weights(checkpoint.parse(content, path))


def _best_file(run: Run, path: Path) -> bytes:
    content = files.read_sealed(path)
    if checkpoint.parse(content, path)["progress"]["step"] != summary.best_row(run)["step"]:
        raise files.DamagedFile(f"{path}: is not of the best epoch")
    return content
