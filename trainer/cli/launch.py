"""Which of how many processes this is, as `torchrun` says in the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Launch:
    """A process among those that train together.

    Attributes:
        rank: 0-based; 0 leads: it alone writes and prints.
        processes: How many there are, on all machines.
        local_rank: 0-based, on this machine.
        local_processes: How many there are on this machine.
        restarts: How often the launcher has started them again.
    """

    rank: int = 0
    processes: int = 1
    local_rank: int = 0
    local_processes: int = 1
    restarts: int = 0

    @staticmethod
    def from_environment(environment: Mapping[str, str] = os.environ) -> "Launch":
        """What the launcher says; alone where there is none."""
        if any(not environment.get(name) for name in NEEDED):
            return Launch()
        rank, processes = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        return Launch(
            rank=rank,
            processes=processes,
            local_rank=int(environment.get("LOCAL_RANK", rank)),
            local_processes=int(environment.get("LOCAL_WORLD_SIZE", processes)),
            restarts=int(environment.get("TORCHELASTIC_RESTART_COUNT", 0)),
        )

    @property
    def leads(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0
