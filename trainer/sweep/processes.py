"""Jobs in processes of their own, on this machine: as many at once as there are slots."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import trainer
from trainer.cli import console
from trainer.cli.forked import STOPPING, start_job
from trainer.cli.signals import stop_requests
from trainer.storage import files, run_folder
from trainer.sweep.jobs import AS_ASKED, Job, State, is_finished, make_ready, state
from trainer.sweep.progress import Progress
from trainer.sweep.slots import THREADS, Slots

ROOT = str(Path(trainer.__file__).resolve().parent.parent)


def start(
    job: Job,
    sweep: Path,
    *,
    to_screen: bool,
    processes: int = 1,
    environment: Mapping[str, str] | None = None,
) -> BaseProcess:
    """Starts a job's command.

    Args:
        job: The job.
        sweep: The sweep's folder.
        to_screen: What it prints goes where this process prints; else to `screen.log`.
        processes: From 2 it runs under torchrun.
        environment: What its environment has beside ours.
    """
    make_ready(job, sweep)
    path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments, module = job.command(sweep), "trainer"
    if processes > 1:
        launcher = ["--standalone", f"--nproc_per_node={processes}", "-m", "trainer"]
        arguments, module = [*launcher, *arguments], "torch.distributed.run"
    return start_job(
        arguments,
        module=module,
        environment={**os.environ, "PYTHONPATH": path, **(environment or {})},
        output=None if to_screen else sweep / job.folder / run_folder.SCREEN,
    )


def ended(process: BaseProcess, folder: Path) -> State:
    """What a job came to whose process has ended, or whose starter was killed."""
    process.join()
    while files.in_use(folder):  # the process that would tell of its end has been killed
        time.sleep(0.1)
    found, code = state(folder), process.exitcode or 0
    if found.status in (*AS_ASKED, "stopped"):
        return found
    if code in [128 + number for number in STOPPING]:  # without a checkpoint
        return State("stopped", found.value)
    reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"left with {code}"
    return State("failed", found.value, found.error or reason)


class Processes:
    """Runs the jobs of a sweep; SIGINT and SIGTERM reach each of them once.

    A second Ctrl-C ends this process at once, as it does a run; the jobs that are saving notice.

    Args:
        progress: The jobs, and what is said about them.
        slots: How many run at once.
    """

    def __init__(self, progress: Progress, slots: Slots) -> None:
        self.progress = progress
        self.slots = slots
        self._running: dict[int, tuple[Job, BaseProcess]] = {}  # by slot

    def run(self) -> int | None:
        """Runs them all; returns the signal that stopped it."""
        if self.slots.threads is not None:
            console.say(f"processes: {self.slots.words}", sys.stdout)
            # before anything is forked: the number of threads is read once
            os.environ[THREADS] = str(self.slots.threads)
        told = False
        with stop_requests() as stop:
            while stop or self._start() or self._running:
                if stop and not told:
                    told = True
                    self._pass_on(stop.signal or 0)
                if not self._running:
                    break
                wait([process.sentinel for _, process in self._running.values()], timeout=0.2)
                self._collect()
        return stop.signal

    def _start(self) -> bool:
        """Fills the free slots; returns whether a job was started."""
        started, sweep = False, self.progress.sweep
        free = [slot for slot in range(self.slots.count) if slot not in self._running]
        while free and (job := self.progress.source.take()) is not None:
            if is_finished(sweep / job.folder):
                self.progress.skip(job)
                continue
            self.progress.begin(job)
            started, slot = True, free.pop(0)
            environment = self.slots.environment(slot)
            alone, processes = self.slots.count == 1, self.slots.processes
            process = start(
                job, sweep, to_screen=alone, processes=processes, environment=environment
            )
            self._running[slot] = (job, process)
        return started

    def _collect(self) -> None:
        """Says what has ended."""
        for slot, (job, process) in list(self._running.items()):
            if wait([process.sentinel], timeout=0):
                del self._running[slot]
                self.progress.end(job, ended(process, self.progress.sweep / job.folder))
                process.close()

    def _pass_on(self, number: int) -> None:
        """No further job starts; those that run save."""
        running = f"the jobs that run ({len(self._running)}) save and stop"
        console.say(f"{signal.Signals(number).name}: {running}", sys.stderr)
        for _, process in self._running.values():
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(process.pid or 0, number)
