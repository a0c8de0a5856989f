"""Where the jobs of a sweep come from: a list, or a search that chooses them one by one."""

from collections.abc import Sequence
from typing import Protocol

from trainer.sweep.jobs import Job, State


class Source(Protocol):
    """The jobs of a sweep, in the order in which they start."""

    @property
    def total(self) -> int:
        """How many there are to be."""
        ...

    def jobs(self) -> Sequence[Job]:
        """Those that there are so far."""
        ...

    def take(self) -> Job | None:
        """The next one; None: there is none left."""
        ...

    def tell(self, job: Job, state: State) -> None:
        """What one came to, whether it ran or was done before."""
        ...


class Listed:
    """Jobs that are known beforehand."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._left = list(jobs)

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self._jobs)

    def jobs(self) -> Sequence[Job]:
        """All of them."""
        return self._jobs

    def take(self) -> Job | None:
        """The next one."""
        return self._left.pop(0) if self._left else None

    def tell(self, job: Job, state: State) -> None:
        """Changes nothing: its folder says it."""
