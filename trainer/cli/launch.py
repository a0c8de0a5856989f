"""Which of how many processes this is, as `torchrun` says in the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from trainer.config.fields import Config

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

    def check(self, config: Config) -> None:
        """Whether a run can be dealt out to the processes.

        Raises:
            ValueError: If not; names the key.
        """
        if self.processes == 1:
            return
        parts = self.processes * config.accumulate
        if config.batch_size % parts:
            each = f" of {config.accumulate} micro-batches each" if config.accumulate > 1 else ""
            raise ValueError(
                f"batch_size={config.batch_size}: cannot be dealt out evenly to {self.processes} "
                f"processes{each}; it must be a multiple of {parts}"
            )
        last = config.data.training_images() % config.batch_size
        if last % parts and not config.data.drop_last:
            raise ValueError(
                f"data.drop_last=false: the last batch of an epoch has {last} images, which "
                f"{self.processes} processes cannot share evenly; data.drop_last=true leaves it out"
            )
        if ":" in config.device:
            raise ValueError(
                f"device={config.device}: {self.processes} processes take a GPU each; use "
                "device=cuda"
            )
