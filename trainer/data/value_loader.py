"""Batches of features and values, as they are: nothing is cropped, mirrored or normalised."""

import torch

from trainer.data.epoch_table import EpochTable
from trainer.data.image_set import ImageSet


class ValueLoader:
    """Holds features and values on the training device and cuts batches in the table's order.

    Args:
        examples: Features `(N, f)` float32 and values `(N,)` float32.
        device: Where they lie and the batches come out.
        batch_size: Examples per batch.
        share: As in `DeviceLoader`.
    """

    def __init__(
        self,
        examples: ImageSet,
        device: torch.device,
        *,
        batch_size: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.batch_size = batch_size
        self.share = share
        self.device = device
        self.features = examples.images.to(device)
        self.values = examples.labels.to(device)
        # At a fixed place: a captured graph reads its rows from it.
        self.rows = torch.zeros(len(examples), dtype=torch.int64, device=device)
        self._loaded: EpochTable | None = None
        self._numbers = torch.arange(batch_size, device=device)

    def load(self, table: EpochTable) -> None:
        """Puts an epoch's order on the device, behind what the device is still to do."""
        if table is not self._loaded:
            order = table.order.pin_memory() if self.device.type == "cuda" else table.order
            self.rows.copy_(order, non_blocking=True)
            self._loaded = table

    def batch(self, table: EpochTable, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Features `(n, f)` and values `(n,)` of batch `step` of the epoch."""
        self.load(table)
        mine, processes = self.share
        start, stop = step * self.batch_size, (step + 1) * self.batch_size
        return self._cut(self.rows[start:stop][mine::processes])

    def batch_at(self, step: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Like `batch`, of the loaded table, with nothing that a graph could not replay.

        Args:
            step: int64 on the device.
            size: Examples in it: the batch size, or less in a short last batch.
        """
        return self._cut(self.rows.index_select(0, step * self.batch_size + self._numbers[:size]))

    def _cut(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.features.index_select(0, rows), self.values.index_select(0, rows)
