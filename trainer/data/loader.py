"""What a loader does: the batches of an epoch out of its table."""

from typing import Protocol

import torch

from trainer.data.epoch_table import EpochTable
from trainer.data.mixup import Targets


class Loader(Protocol):
    """Gives the batches of an epoch."""

    def batch(self, table: EpochTable, step: int) -> tuple[torch.Tensor, Targets]:
        """Images `(n, 3, 32, 32)` float32 and labels `(n,)` int64 of batch `step`.

        With mixup the images are blended, and the labels come with those of the others. Of a
        regression: features `(n, f)` and values `(n,)`, both float32.
        """
        ...
