"""Hydra's own launchers (joblib, submitit, ray): whatever they start, starts the command."""

import contextlib
import importlib.util
import os
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Sequence
from dataclasses import dataclass
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
from trainer.cli.forked import STOPPING
from trainer.config.choices import options, searched
from trainer.config.fields import CONF, register
from trainer.config.quoting import quote
from trainer.storage import files
from trainer.sweep.jobs import Job, holder, is_finished, state
from trainer.sweep.processes import ended, start
from trainer.sweep.progress import Progress
from trainer.sweep.slots import THREADS, available_cores

OURS = ("processes", "basic")
LOCAL = ("joblib", "submitit_local")  # their jobs end when the sweep is stopped
EXTRA = {
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "submitit_slurm": "hydra_plugins.hydra_submitit_launcher",
}
PACKAGES = {"joblib": "hydra-joblib-launcher", "ray": "hydra-ray-launcher"}
# A run can be stopped and resumed at any step, so a job may be long and be requeued often.
DEFAULTS = {
    "submitit_local": {"timeout_min": 1440},
    "submitit_slurm": {"timeout_min": 1440, "max_num_timeout": 100},
}


def check_installed(overrides: Sequence[Override]) -> None:
    """Raises ValueError, naming what to install, for a launcher or a search that is not there."""
    for override in overrides:
        key, value = override.key_or_group, str(override.value())
        line, module, needed = override.input_line, None, "the extra `sweep`"
        install = "'lr-trainer[sweep]' (in a checkout: pip install -e '.[sweep]')"
        if key == "search" and value in options("search", searched(overrides)):
            module = "optuna"
        elif key == "hydra/launcher" and value in EXTRA:
            module = EXTRA[value]
        elif key == "hydra/launcher" and value in PACKAGES:
            module = f"hydra_plugins.{PACKAGES[value].replace('-', '_')}"
            needed = install = PACKAGES[value]
        if module is not None and not _installed(module):
            raise ValueError(f"{line}: needs {needed}: pip install {install}")


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class JobTask:
    """What a launcher calls for each job, in whichever process it chose; can be pickled.

    Attributes:
        sweep: The sweep's folder.
        jobs: The jobs of this call of the launcher.
        first: Its number of the first of them.
        local: Whether they end with the process that sweeps.
    """

    sweep: Path
    jobs: tuple[Job, ...]
    first: int
    local: bool

    def __call__(self, config: DictConfig) -> str | None:
        """Runs a job; returns how it ended."""
        del config
        job = self.jobs[int(HydraConfig.get().job.num) - self.first]
        if self.local and not files.in_use(self.sweep):  # it was stopped
            return None
        with _told_by_submitit() as told:
            process = start(job, self.sweep, processes=1, environment={}, to_screen=False)
            told.to(process.pid or 0)
            found = ended(process, self.sweep / job.folder)
        told.requeue()  # leaves the process
        return found.status


class _Told:
    """Passes signals on to a job: submitit's for preemption saves first, then requeues it."""

    def __init__(self, preemption: signal.Signals) -> None:
        self.preemption = preemption
        self.handler: Any = signal.getsignal(preemption)
        self.received: list[int] = []
        self._pid = 0

    def to(self, pid: int) -> None:
        """The job is there; what came before it was is passed on now."""
        self._pid = pid
        if self.received:
            self._stop()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (self.preemption, signal.SIGTERM))

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal; the job takes it as a wish to stop, once."""
        if self._pid and not self.received:
            self._stop()
        self.received.append(number)

    def _stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(self._pid, signal.SIGTERM)

    def requeue(self) -> None:
        """Lets submitit's own handler put the job back, if that is what it was told."""
        if self.preemption in self.received and callable(self.handler):
            self.handler(self.preemption, None)


@contextlib.contextmanager
def _told_by_submitit() -> Generator[_Told]:
    """Takes the signals of a cluster over for the time of a job.

    They are blocked until the job has been started, which inherits that: a cluster sends them to
    each process, and the one for preemption would end a job that knows nothing of it.
    """
    name = os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")
    told = _Told(signal.Signals[f"SIG{name}"])
    if threading.current_thread() is not threading.main_thread():  # ray's
        yield told
        return
    numbers = (told.preemption, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    before = [signal.signal(number, told.receive) for number in numbers]
    try:
        yield told
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class Launcher:
    """Runs the jobs of a sweep by one of Hydra's launchers.

    Args:
        name: Of the launcher.
        progress: The jobs, and what is said about them.
        arguments: The overrides that all jobs share, the launcher's settings among them.
        batch: Jobs in one call of it; None: all that there are.
        locks: Holds the sweep's lock; closed when the sweep is stopped, so that no job starts.
    """

    def __init__(
        self,
        name: str,
        progress: Progress,
        arguments: Sequence[str],
        batch: int | None,
        locks: contextlib.ExitStack,
    ) -> None:
        self.name = name
        self.progress = progress
        self.signal: int | None = None
        self._arguments = list(arguments)
        self._batch = batch
        self._locks = locks

    def run(self) -> int | None:
        """Runs them all; returns the signal that stopped it. A launcher that fails ends it, too."""
        source, first = self.progress.source, 0
        with self._signals():
            while jobs := self._next():
                console.say(f"{self.name}: {len(jobs)} jobs are handed over", sys.stdout)
                try:
                    self._launch(tuple(jobs), first)
                except Exception as error:  # a stranger's code may raise anything
                    if self.signal is None:
                        if TRACEBACKS:
                            traceback.print_exception(error)
                        line = f"trainer: error: {self.name}: {console.one_line(error)}"
                        console.say(line, sys.stderr)
                        return None
                first += len(jobs)
                for job in jobs:
                    found = state(self.progress.sweep / job.folder)
                    source.tell(job, found)
                    if found.status != "waiting":
                        self.progress.end(job, found)
        return self.signal

    def _next(self) -> list[Job]:
        """The jobs of the next call; those that are done are passed over."""
        jobs: list[Job] = []
        while self.signal is None and (self._batch is None or len(jobs) < self._batch):
            job = self.progress.source.take()
            if job is None:
                break
            if is_finished(self.progress.sweep / job.folder):
                self.progress.skip(job)
                self.progress.source.tell(job, self.progress.ended[job.number])
            else:
                jobs.append(job)
        return jobs

    def _launch(self, jobs: tuple[Job, ...], first: int) -> None:
        """One call of the launcher, as Hydra's own sweeper would make it."""
        sweep = self.progress.sweep
        own = ["hydra.output_subdir=null", "hydra.job.chdir=false"]
        own.append(f"hydra.sweep.dir={quote(str(sweep))}")
        register()
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3", job_name="trainer"):
            hydra: Any = GlobalHydra.instance().hydra
            config = hydra.compose_config(
                "config", [*self._arguments, *own], run_mode=RunMode.MULTIRUN
            )
            HydraConfig.instance().set_config(config)
            context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config))
            task = JobTask(sweep, jobs, first, self.name in LOCAL)
            launcher = Plugins.instance().instantiate_launcher(context, task, config)
            launcher.launch(
                [[f"hydra.sweep.subdir={quote(job.folder)}"] for job in jobs], initial_job_idx=first
            )

    @contextlib.contextmanager
    def _signals(self) -> Generator[None]:
        """Has the jobs on this machine stopped where SIGINT or SIGTERM comes.

        Both are blocked here, which what is started from here inherits: a Ctrl-C reaches jobs
        through this process only. Those on a cluster are left there.
        """
        if self.name not in LOCAL:
            yield
            return
        before = [signal.signal(number, lambda n, _: self._stop(n)) for number in STOPPING]
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        threading.Thread(target=self._wait, daemon=True).start()
        try:
            yield
        finally:
            for number, handler in zip(STOPPING, before, strict=True):
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _wait(self) -> None:
        while True:
            self._stop(signal.sigwait(STOPPING))

    def _stop(self, number: int) -> None:
        again = self.signal is not None and number == signal.SIGINT
        self.signal = self.signal or number
        self._locks.close()
        jobs = self.progress.source.jobs()
        pids = [holder(self.progress.sweep / job.folder) for job in jobs]
        running = [pid for pid in pids if pid is not None]
        what = "leave at once" if again else "save and stop"
        name = signal.Signals(number).name
        console.say(f"{name}: the jobs that run ({len(running)}) {what}", sys.stderr)
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if again else signal.SIGTERM)


def batch(name: str, asked: int | None) -> int | None:
    """How many jobs one call of a launcher gets; None: all.

    submitit_local would start them all at once.
    """
    return asked or (available_cores() if name == "submitit_local" else None)


def settings(name: str, given: Sequence[str]) -> list[str]:
    """Settings of a launcher that the user left open, as overrides.

    Args:
        name: Of the launcher.
        given: The keys that the user set.
    """
    keys = {f"hydra.launcher.{key}": value for key, value in DEFAULTS.get(name, {}).items()}
    if name == "submitit_local":  # as many jobs at once as cores
        os.environ.setdefault(THREADS, "1")
    return [f"{key}={value}" for key, value in keys.items() if key not in given]
