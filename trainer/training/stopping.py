"""One wish to stop, granted by all processes at the same step."""

import torch
import torch.distributed as dist

from trainer.cli.signals import Stopped, StopRequest
from trainer.training.peers import Peers

# Steps between two questions where a step takes less than the asking. The answer is read
# one question later, when it has long arrived.
EVERY = 16


class StopVote:
    """Asks every process whether it was told to stop; all get the same answer.

    Args:
        stop: This process's own wish.
        peers: The processes.
        every: Steps between two questions; 1: each step waits for its answer.
    """

    def __init__(self, stop: StopRequest, peers: Peers, *, every: int) -> None:
        self.stop = stop
        self.peers = peers
        self.every = every
        self._updates = 0
        self._asked: tuple[torch.Tensor, dist.Work | None] | None = None

    def at_update(self) -> int | None:
        """The signal to stop for, after each step; None: go on."""
        if self.peers.count == 1:
            return self.stop.signal
        if self.every == 1:
            return self.now()
        self._updates += 1
        if self._updates % self.every:
            return None
        answer = self._answer()
        self._asked = self.peers.begin_largest(self.stop.signal or 0)
        return answer or None

    def now(self) -> int | None:
        """The signal to stop for; waits for every process."""
        if self.peers.count == 1:
            return self.stop.signal
        return max(self._answer(), self.peers.largest(self.stop.signal or 0)) or None

    def check(self) -> None:
        """Raises Stopped, in every process, if one of them was asked to stop."""
        if (number := self.now()) is not None:
            raise Stopped(number)

    def _answer(self) -> int:
        asked, self._asked = self._asked, None
        if asked is None:
            return 0
        number, work = asked
        if work is not None:
            work.wait()
        return int(number)
