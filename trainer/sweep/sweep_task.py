"""What Hydra calls for each job of a sweep, in whichever process its launcher chose."""

import contextlib
import os
import random
import signal
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from trainer.cli.signals import stop_requests
from trainer.config.fields import Config
from trainer.config.saved import to_object
from trainer.sweep import job_ledger, job_process, same_sweep, sweep_jobs
from trainer.sweep.job_ledger import Job
from trainer.sweep.launchers import JobLaunch
from trainer.training.attempt import STOPS, Outcome


class SweepStopped(KeyboardInterrupt):
    """A job was asked to stop; so is its sweep.

    Attributes:
        code: The exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


@dataclass(frozen=True, slots=True)
class SweepTask:
    """A job, from Hydra's configuration to the value for its sweeper; can be pickled.

    Attributes:
        sweep: The sweep's folder.
        command: The command line, for the record.
        launch: How jobs are started.
        searched: The keys that a search chooses; None: the jobs were listed.
    """

    sweep: Path
    command: tuple[str, ...]
    launch: JobLaunch
    searched: tuple[str, ...] | None = None

    def __call__(self, config: DictConfig) -> float | None:
        """Runs a job; returns its value for the sweeper.

        Raises:
            SweepStopped: If it was stopped, and the jobs run one after the other.
            NotStarted: If it is not the sweep's, or a search was stopped before it.
        """
        settings = HydraConfig.get()
        job, number = to_object(config), int(settings.job.num)
        job.anchor()
        folder = Path(str(settings.runtime.output_dir))
        if self.searched is None:
            same_sweep.expect(self.sweep, number, job)
            return self._run(job, folder, number).value
        typed = [str(override) for override in settings.overrides.task]
        swept = [o for o in typed if o.partition("=")[0] in self.searched]
        same_sweep.expect_sought(self.sweep, Job(number, swept, job_ledger.digest(job, swept)))
        order = random.getstate()  # Optuna draws the order of a grid from it, and runs seed it
        outcome = self._run(job, folder, number)
        random.setstate(order)
        return self._value(outcome, job, number)

    def _run(self, job: Config, folder: Path, number: int) -> Outcome:
        if self.launch.launcher == "joblib":
            with gpu(self.launch.gpus, number, self.sweep) as visible:
                return job_process.run(
                    job, folder, self.sweep, number, self.command, self._environment(visible)
                )
        if self.launch.launcher.startswith("submitit_"):
            with gpu(self.launch.gpus, number, self.sweep) as visible:
                os.environ |= self._environment(visible)  # torch is not there yet
                return _preemptible(job, folder, self.sweep, number, self.command)
        outcome = sweep_jobs.run_job(job, folder, self.sweep, number, self.command)
        if outcome.code in STOPS:
            raise SweepStopped(outcome.code)
        return outcome

    def _environment(self, visible: str | None) -> dict[str, str]:
        more = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        if self.launch.threads is not None:
            more["OMP_NUM_THREADS"] = str(self.launch.threads)
        return more

    def _value(self, outcome: Outcome, job: Config, number: int) -> float | None:
        """For a search a failed job has the worst value there is: it goes on, elsewhere."""
        if outcome.status == "stopped":  # without its value the way leads elsewhere
            with job_ledger.changing(self.sweep) as ledger:
                ledger.stop = ledger.stop or outcome.code - 128
            return None
        if not job_ledger.counts_as_worst(self.sweep, number, failed=outcome.status == "failed"):
            return outcome.value
        return 0.0 if job.direction() == "maximize" else float("inf")


def _preemptible(
    job: Config, folder: Path, sweep: Path, number: int, command: tuple[str, ...]
) -> Outcome:
    """A job under submitit: on its signal it saves first, then submitit puts it back in the queue.

    Left alone, submitit would leave in the middle of a step.
    """
    name = os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")
    number_of_signal = signal.Signals[f"SIG{name}"]
    requeue: Any = signal.getsignal(number_of_signal)
    with stop_requests(number_of_signal):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
        outcome = sweep_jobs.run_job(job, folder, sweep, number, command)
    if outcome.code == 128 + number_of_signal and callable(requeue):
        frame: FrameType | None = None
        requeue(number_of_signal, frame)  # leaves the process
    return outcome


@contextlib.contextmanager
def gpu(gpus: tuple[str, ...], number: int, sweep: Path) -> Generator[str | None]:
    """A GPU that no other job has, round robin; shared if there are more jobs than GPUs."""
    if not gpus:
        yield None
        return
    for turn in range(len(gpus)):
        name = gpus[(number + turn) % len(gpus)]
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(job_ledger.alone(sweep, f".gpu_{name}_lock", wait=False))
            except BlockingIOError:
                continue
            yield name
            return
    yield gpus[number % len(gpus)]
