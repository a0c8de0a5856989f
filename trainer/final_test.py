"""The one reading of the test set of a run that chose its weights on a validation set."""

from pathlib import Path
from typing import Any

from trainer import checkpoint, console, storage, summary
from trainer.console import log
from trainer.evaluation import Evaluator
from trainer.run import Run
from trainer.signals import StopRequest


def final_test(run: Run, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """The test set, read once: with the last and the best weights, if a validation set was used."""
    if run.data.split == "test":
        return {}
    flip = run.config.test_time_flip
    evaluator = Evaluator.on(run.data.test, run.device, run.precision, flip=flip)
    result: dict[str, Any] = {}
    model = run.evaluated
    weights = {"last": {name: value.clone() for name, value in model.state_dict().items()}}
    path = folder / checkpoint.FOLDER / "best.pt"
    try:
        best = checkpoint.load(path)
        if best["progress"]["step"] != summary.best_row(run)["step"]:
            raise storage.DamagedFile(f"{path}: is not of the best epoch")
        weights["best"] = checkpoint.weights(best)
    except (OSError, storage.DamagedFile) as error:
        log.warning("warning: the best weights cannot be tested: %s", console.one_line(error))
    for name in sorted(weights):  # the last weights last: they stay in the model
        model.load_state_dict(weights[name])
        loss, accuracy = evaluator(model, stop.check)
        result[f"test_{name}"] = {"loss": loss, "accuracy": accuracy}
        log.info("test set, %s weights: loss %.4f accuracy %.2f%%", name, loss, accuracy * 100)
    return result
