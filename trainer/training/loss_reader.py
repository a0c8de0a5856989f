"""Reads the losses of an epoch without making the device wait."""

import math

import torch

from trainer.training.peers import ALONE, Peers


class LossReader:
    """Copies the losses to the host asynchronously, one reading outstanding at most.

    Args:
        losses: `(steps_per_epoch,)` float32 on the device, filled step by step.
        peers: The processes that each have a part of every loss.
    """

    def __init__(self, losses: torch.Tensor, peers: Peers = ALONE) -> None:
        self.losses = losses
        self.peers = peers
        self._cuda = losses.device.type == "cuda"
        self._host = torch.zeros_like(losses, device="cpu", pin_memory=self._cuda)
        self._copied = torch.cuda.Event() if self._cuda else None
        self._pending = 0

    def request(self, done: int) -> None:
        """Starts copying the losses of the first `done` steps, unless a copy is under way."""
        if self._pending:
            return
        self._host.copy_(self.peers.sum(self.losses), non_blocking=True)
        if self._copied is not None:
            self._copied.record(torch.cuda.current_stream(self.losses.device))
        self._pending = done

    def poll(self) -> tuple[float, int | None] | None:
        """The newest loss of a finished copy and its first non-finite place; None: none yet."""
        if not self._pending or (self._copied is not None and not self._copied.query()):
            return None
        return self._take()

    def wait(self) -> tuple[float, int | None] | None:
        """Like `poll`, of the copy under way: for processes that must see it at the same time."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._take() if self._pending else None

    def _take(self) -> tuple[float, int | None]:
        done, self._pending = self._pending, 0
        return float(self._host[done - 1]), first_non_finite(self._host[:done])

    def read(self, done: int) -> torch.Tensor:
        """The losses of the first `done` steps, `(done,)` float32; waits for the device."""
        self._pending = 0
        return self.peers.sum(self.losses)[:done].cpu()


def first_non_finite(losses: torch.Tensor) -> int | None:
    """The first place with a NaN or an infinity; None: all finite."""
    if math.isfinite(float(losses.sum())):
        return None
    places = (~torch.isfinite(losses)).nonzero()
    return int(places[0]) if len(places) else None
