"""When a run stops before its end: a signal or `until`, at the same step in all processes."""

import torch
import torch.distributed as dist

from trainer.cli.signals import Stopped, StopRequest
from trainer.training.peers import Peers

# Steps between two questions where a step takes less than the asking. The answer is read
# one question later, when it has long arrived.
EVERY = 16


class Paused(Stopped):
    """The run has come to where `until` says, and has saved a checkpoint."""

    def __init__(self) -> None:
        Exception.__init__(self, "until")
        self.code = 0


class StopVote:
    """Asks every process whether it was told to stop; all get the same answer.

    Args:
        stop: This process's own wish.
        peers: The processes.
        every: Steps between two questions; 1: each step waits for its answer.
        until: Completed steps to stop at, behind an evaluation where there is one; None: the end.
    """

    def __init__(
        self, stop: StopRequest, peers: Peers, *, every: int, until: int | None = None
    ) -> None:
        self.stop = stop
        self.peers = peers
        self.every = every
        self.until = until
        self._updates = 0
        self._asked: tuple[torch.Tensor, dist.Work | None] | None = None

    def after_step(self, step: int, *, ends_epoch: bool) -> Stopped | None:
        """Why to stop after a step; None: go on.

        Args:
            step: Completed steps.
            ends_epoch: Whether it was its epoch's last: `until` waits for the evaluation.
        """
        if self._reached(step) and not ends_epoch:
            return Paused()
        number = self._asked_for()
        return None if number is None else Stopped(number)

    def now(self, step: int) -> Stopped | None:
        """Why to stop between two epochs; waits for every process."""
        if (number := self._wish()) is not None:
            return Stopped(number)
        return Paused() if self._reached(step) else None

    def check(self) -> None:
        """Raises Stopped, in every process, if one of them was asked to stop."""
        if (number := self._wish()) is not None:
            raise Stopped(number)

    def _reached(self, step: int) -> bool:
        return self.until is not None and step >= self.until

    def _asked_for(self) -> int | None:
        if self.peers.count == 1:
            return self.stop.signal
        if self.every == 1:
            return self._wish()
        self._updates += 1
        if self._updates % self.every:
            return None
        answer = self._answer()
        self._asked = self.peers.begin_largest(self.stop.signal or 0)
        return answer or None

    def _wish(self) -> int | None:
        """The signal that any process got; waits for every one."""
        if self.peers.count == 1:
            return self.stop.signal
        return max(self._answer(), self.peers.largest(self.stop.signal or 0)) or None

    def _answer(self) -> int:
        asked, self._asked = self._asked, None
        if asked is None:
            return 0
        number, work = asked
        if work is not None:
            work.wait()
        return int(number)
