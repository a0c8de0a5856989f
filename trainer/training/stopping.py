"""When a run stops before its end: a signal or `until`, at the same step in all processes."""

import torch
import torch.distributed as dist

from trainer.cli.signals import Stopped, StopRequest
from trainer.training.peers import Peers

# Questions under way where nobody waits for an answer: it has long arrived two steps later. Where a
# process has died, this one notices before a GPU's queue of launches is full.
UNDER_WAY = 2


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
        waits: Whether each step waits for its answer, instead of reading it two steps later.
        until: Completed steps to stop at, behind an evaluation where there is one; None: the end.
    """

    def __init__(
        self, stop: StopRequest, peers: Peers, *, waits: bool, until: int | None = None
    ) -> None:
        self.stop = stop
        self.peers = peers
        self.waits = waits
        self.until = until
        self._asked = list[tuple[torch.Tensor, dist.Work | None]]()

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
        if self.waits:
            return self._wish()
        self._asked.append(self.peers.begin_largest(self.stop.signal or 0))
        return self._answers(leave=UNDER_WAY) or None

    def _wish(self) -> int | None:
        """The signal that any process got; waits for every one."""
        if self.peers.count == 1:
            return self.stop.signal
        return max(self._answers(leave=0), self.peers.largest(self.stop.signal or 0)) or None

    def _answers(self, leave: int) -> int:
        """The largest of the answers but the newest."""
        largest = 0
        while len(self._asked) > leave:
            number, work = self._asked.pop(0)
            if work is not None:
                work.wait()
            largest = max(largest, int(number))
        return largest
