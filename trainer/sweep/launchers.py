"""Hydra's own launchers (joblib, submitit, ray): whatever they start, starts the command."""

import contextlib
import importlib.util
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from trainer.cli import console
from trainer.cli.command import TRACEBACKS
from trainer.config.choices import options, searched
from trainer.config.fields import CONF, register
from trainer.config.quoting import quote
from trainer.storage import files
from trainer.sweep.jobs import Job, is_finished, state
from trainer.sweep.plan import Planned
from trainer.sweep.processes import ended, start
from trainer.sweep.progress import Progress
from trainer.sweep.slots import THREADS, available_cores

OURS = ("processes", "basic")
LOCAL = ("joblib", "submitit_local")  # their jobs end with the process that sweeps
SUBMITIT = "hydra_plugins.hydra_submitit_launcher"
EXTRA = (
    "the extra `sweep`: pip install 'lr-trainer[sweep]' (in a checkout: pip install -e '.[sweep]')"
)
# The module behind an override, and what to install where it is missing.
NEEDED = {
    "hydra/launcher=submitit_local": (SUBMITIT, EXTRA),
    "hydra/launcher=submitit_slurm": (SUBMITIT, EXTRA),
    "hydra/launcher=joblib": (
        "hydra_plugins.hydra_joblib_launcher",
        "hydra-joblib-launcher: pip install hydra-joblib-launcher",
    ),
    "hydra/launcher=ray": (
        "hydra_plugins.hydra_ray_launcher",
        "hydra-ray-launcher: pip install hydra-ray-launcher",
    ),
}
# A run can be stopped and resumed at any step, so a job may be long and be requeued often.
DEFAULTS = {
    "submitit_local": {"timeout_min": 1440},
    "submitit_slurm": {"timeout_min": 1440, "max_num_timeout": 100},
}


def check_installed(overrides: Sequence[Override]) -> None:
    """Raises ValueError, naming what to install, for a launcher or a search that is not there."""
    for override in overrides:
        key, value = override.key_or_group, override.value()
        module, install = NEEDED.get(f"{key}={value}", (None, EXTRA))
        if key == "search" and value in options("search", searched(overrides)):
            module = "optuna"
        with contextlib.suppress(ModuleNotFoundError, ValueError):
            if module is None or importlib.util.find_spec(module) is not None:
                continue
        raise ValueError(f"{override.input_line}: needs {install}")


@dataclass(frozen=True, slots=True)
class JobTask:
    """What a launcher calls for each job, in whichever process it chose; can be pickled.

    Attributes:
        sweep: The sweep's folder.
        jobs: The jobs of this call of the launcher.
        local: Whether they end with the process that sweeps.
    """

    sweep: Path
    jobs: tuple[Job, ...]
    local: bool

    def __call__(self, config: DictConfig) -> str | None:
        """Runs a job; returns how it ended. submitit's signal saves first, then requeues it."""
        del config
        job = self.jobs[int(HydraConfig.get().job.num)]
        name = os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")
        preemption = signal.Signals[f"SIG{name}"]
        received: list[int] = []

        def note(number: int, frame: FrameType | None) -> None:
            received.append(number)

        main = threading.current_thread() is threading.main_thread()  # it is not ray's
        numbers = (preemption, signal.SIGTERM) if main else ()
        # Blocked until the job has been started, which inherits that: a cluster sends them to each
        # process, and the one for preemption would end a job that knows nothing of it.
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        before: list[Any] = [signal.signal(n, note) for n in numbers]
        process = start(job, self.sweep, to_screen=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        told = False
        while not wait([process.sentinel], timeout=0.5):
            gone = self.local and not files.in_use(self.sweep)
            if (received or gone) and not told and process.pid is not None:
                told = True
                os.kill(process.pid, signal.SIGTERM)
        found = ended(process, self.sweep / job.folder)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        requeue: Any = before[0] if before else None
        if preemption in received and callable(requeue):
            requeue(preemption, None)  # leaves the process
        return found.status


class Launcher:
    """Runs the jobs of a sweep by one of Hydra's launchers.

    Args:
        planned: What was asked for; names the launcher.
        progress: The jobs, and what is said about them.
    """

    def __init__(self, planned: Planned, progress: Progress) -> None:
        self.name = planned.launcher
        self.progress = progress
        keys = [override.key_or_group for override in planned.fixed]
        open_ = {f"hydra.launcher.{k}": v for k, v in DEFAULTS.get(self.name, {}).items()}
        self._arguments = [str(override.input_line) for override in planned.fixed]
        self._arguments += [f"{key}={value}" for key, value in open_.items() if key not in keys]
        self._batch: int = planned.first.hydra.sweeper.get("max_batch_size") or sys.maxsize
        if self.name == "submitit_local":  # it would start them all at once
            self._batch = min(self._batch, available_cores())
            os.environ.setdefault(THREADS, "1")

    def run(self) -> None:
        """Runs them all; a launcher that fails ends it."""
        while jobs := self._next():
            console.say(f"{self.name}: {len(jobs)} jobs are handed over", sys.stdout)
            try:
                self._launch(tuple(jobs))
            except Exception as error:  # a stranger's code may raise anything
                if TRACEBACKS:
                    traceback.print_exception(error)
                console.say(f"trainer: error: {self.name}: {console.one_line(error)}", sys.stderr)
                return
            for job in jobs:
                self.progress.end(job, state(self.progress.sweep / job.folder))

    def _next(self) -> list[Job]:
        """The jobs of the next call; those that are done are passed over."""
        jobs: list[Job] = []
        while len(jobs) < self._batch and (job := self.progress.source.take()) is not None:
            if is_finished(self.progress.sweep / job.folder):
                self.progress.skip(job)
            else:
                jobs.append(job)
        return jobs

    def _launch(self, jobs: tuple[Job, ...]) -> None:
        """One call of the launcher, as Hydra's own sweeper would make it."""
        sweep = self.progress.sweep
        own = ["hydra.output_subdir=null", f"hydra.sweep.dir={quote(str(sweep))}"]
        register()
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3", job_name="trainer"):
            hydra: Any = GlobalHydra.instance().hydra
            config = hydra.compose_config("config", [*self._arguments, *own], RunMode.MULTIRUN)
            HydraConfig.instance().set_config(config)
            context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config))
            task = JobTask(sweep, jobs, self.name in LOCAL)
            launcher = Plugins.instance().instantiate_launcher(context, task, config)
            places = [[f"hydra.sweep.subdir={quote(job.folder)}"] for job in jobs]
            launcher.launch(places, initial_job_idx=0)
