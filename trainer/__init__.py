"""Learning-rate experiments on CIFAR-10: train, preview, resume, compare.

>>> import trainer
>>> run = trainer.train("scheduler=cosine", "epochs=3")   # what `python -m trainer` does
>>> run.folder, run.history[-1]["test/accuracy"], run.model
>>> trainer.curves("scheduler=cosine,steplr")[0].lrs[0]
0.04
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.inference.python import TrainedRun
    from trainer.preview import PreviewCurve

__version__ = "0.1.0"


def train(*overrides: str) -> "TrainedRun":
    """Trains a run, new or resumed, as the command line with the same arguments does, bit for bit.

    Args:
        overrides: `key=value`, as on the command line; `resume=<run folder>` goes on with a run.

    Raises:
        ValueError: In one line, for an argument or a value that cannot be.
        FileNotFoundError: If the data set or the checkpoint is missing.
        FloatingPointError: If the loss is not finite.
        KeyboardInterrupt: If it was stopped; a checkpoint is saved.
    """
    from trainer.inference.python import train  # torch takes seconds

    return train(overrides)


def curves(*overrides: str) -> "list[PreviewCurve]":
    """The LR of every step under each schedule that the overrides ask for; needs no torch.

    Args:
        overrides: As on the command line; several values for a key give several curves.

    Raises:
        ValueError: If a configuration cannot be.
    """
    from trainer.preview import previews

    return previews(overrides)[0]
