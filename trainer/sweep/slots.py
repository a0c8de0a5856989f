"""What each of several jobs gets of the machine: threads and GPUs, never more than there are."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.config.fields import Config

THREADS = "OMP_NUM_THREADS"
GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Slots:
    """How many jobs run at once, and with what.

    Attributes:
        count: Jobs at once.
        processes: Processes of each job, under torchrun from 2.
        threads: CPU threads of each process; None: left alone.
        gpus: GPUs that are dealt out, a name each; empty: none, or left alone.
    """

    count: int = 1
    processes: int = 1
    threads: int | None = None
    gpus: tuple[str, ...] = ()

    def environment(self, slot: int) -> dict[str, str]:
        """What the environment of a job has beside ours.

        Args:
            slot: From 0 to `count - 1`.
        """
        more = {} if self.threads is None else {THREADS: str(self.threads)}
        if self.gpus:
            first = slot * self.processes
            own = [self.gpus[(first + n) % len(self.gpus)] for n in range(self.processes)]
            more[GPUS] = ",".join(own)
        return more

    @property
    def words(self) -> str:
        """For one line on the screen."""
        threads = "a thread" if self.threads == 1 else f"{self.threads} threads"
        each = f"{threads} each" if self.processes == 1 else f"{threads} in each process"
        on = f", on {len(self.gpus)} GPUs" if self.gpus else ""
        return f"{self.count} jobs at once, {each}{on}"


def fitted(asked: Mapping[str, Any], configs: Sequence[Config], jobs: int) -> Slots:
    """As many slots as were asked for, and as the machine carries.

    Args:
        asked: `n_jobs`, -1 for as many as there are GPUs, or else cores, and `processes_per_job`.
        configs: The jobs; the base of a search.
        jobs: How many there are to be.

    Raises:
        ValueError: If more is asked for than the machine carries, or what is no number of jobs.
    """
    for name, value in {"n_jobs": 1, "processes_per_job": 1, **asked}.items():
        wrong = not isinstance(value, int) or (value < 1 and (name, value) != ("n_jobs", -1))
        if name in ("n_jobs", "processes_per_job") and wrong:
            raise ValueError(f"hydra.launcher.{name}={value}: must be a whole number, at least 1")
    wish, processes = asked.get("n_jobs", 1), asked.get("processes_per_job", 1)
    if wish == 1 and processes == 1:
        return Slots()
    cores, gpus = available_cores(), _gpus(configs)
    limit = max(cores, len(gpus)) // processes
    if max(wish, 1) > limit:
        many = f" of {processes} processes" if processes > 1 else ""
        raise ValueError(
            f"hydra.launcher.n_jobs={max(wish, 1)}: this machine has {cores} cores and "
            f"{len(gpus)} GPUs to give to jobs{many}; at most {limit} run at once"
        )
    count = min(wish if wish > 0 else max(1, (len(gpus) or cores) // processes), max(jobs, 1))
    threads = max(1, cores // (count * processes))
    if (set_before := os.environ.get(THREADS, "")).isdigit():
        threads = min(threads, max(1, int(set_before)))
    return Slots(count, processes, threads, gpus)


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus(configs: Sequence[Config]) -> tuple[str, ...]:
    """The GPUs of this machine, if every job takes whichever it is given."""
    if any(config.device not in ("auto", "cuda") for config in configs):
        return ()
    import torch  # takes seconds, and the checks before it have imported it

    count = torch.cuda.device_count()  # less than the variable names where a name is no GPU
    visible = os.environ.get(GPUS)
    names = map(str, range(count)) if visible is None else visible.split(",")
    return tuple(name.strip() for name in names)[:count]
