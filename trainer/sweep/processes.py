"""Jobs in processes of their own, on this machine: as many at once as there are slots."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

import trainer
from trainer.cli import console
from trainer.cli.forked import STOPPING, start_job
from trainer.storage import files, run_folder
from trainer.sweep.jobs import Job, State, is_finished, make_ready, state, why_ended
from trainer.sweep.progress import Progress
from trainer.sweep.slots import THREADS, Slots

ROOT = str(Path(trainer.__file__).resolve().parent.parent)
TORCHRUN = "torch.distributed.run"


def start(
    job: Job, sweep: Path, *, processes: int, environment: dict[str, str], to_screen: bool
) -> BaseProcess:
    """Starts a job's command.

    Args:
        job: The job.
        sweep: The sweep's folder.
        processes: From 2 it runs under torchrun.
        environment: What its environment has beside ours.
        to_screen: What it prints goes where this process prints; else to `screen.log`.
    """
    make_ready(job, sweep)
    path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments, module = job.command(sweep), "trainer"
    if processes > 1:
        launcher = ["--standalone", f"--nproc_per_node={processes}", "-m", "trainer"]
        arguments, module = [*launcher, *arguments], TORCHRUN
    return start_job(
        arguments,
        module=module,
        environment={**os.environ, "PYTHONPATH": path, **environment},
        output=None if to_screen else sweep / job.folder / run_folder.SCREEN,
    )


def ended(process: BaseProcess, folder: Path) -> State:
    """What a job came to whose process has ended, or whose starter was killed."""
    process.join()
    while files.in_use(folder):  # the process that would tell of its end has been killed
        time.sleep(0.1)
    found, reason = state(folder), why_ended(process.exitcode or 0)
    if found.status in ("done", "stopped"):
        return found
    if process.exitcode in [128 + number for number in STOPPING]:  # without a checkpoint
        return State("stopped", found.value)
    return State("failed", found.value, found.error or reason or "left without a result")


@dataclass(frozen=True, slots=True)
class Running:
    """A job that runs."""

    job: Job
    process: BaseProcess
    slot: int


class Processes:
    """Runs the jobs of a sweep; SIGINT and SIGTERM reach each of them once.

    Args:
        progress: The jobs, and what is said about them.
        slots: How many run at once.
    """

    def __init__(self, progress: Progress, slots: Slots) -> None:
        self.progress = progress
        self.slots = slots
        self.signal: int | None = None
        self._at_once = False
        self._running: list[Running] = []
        self._received: list[int] = []

    def run(self) -> int | None:
        """Runs them all; returns the signal that stopped it."""
        if self.slots.threads is not None:
            console.say(f"processes: {self.slots.words}", sys.stdout)
            # before anything is forked: the number of threads is read once
            os.environ[THREADS] = str(self.slots.threads)
        with self._signals() as woken:
            while True:
                self._start()
                if not self._running:
                    return self.signal
                wait([woken, *(running.process.sentinel for running in self._running)])
                self._pass_on(woken)
                self._collect()

    def _start(self) -> None:
        """Fills the free slots."""
        while self.signal is None and len(self._running) < self.slots.count:
            job = self.progress.source.take()
            if job is None:
                return
            sweep = self.progress.sweep
            if is_finished(sweep / job.folder):
                self.progress.skip(job)
                self.progress.source.tell(job, self.progress.ended[job.number])
                continue
            self.progress.begin(job)
            taken = {running.slot for running in self._running}
            slot = next(n for n in range(self.slots.count) if n not in taken)
            process = start(
                job,
                sweep,
                processes=self.slots.processes,
                environment=self.slots.environment(slot),
                to_screen=self.slots.count == 1,
            )
            self._running.append(Running(job, process, slot))

    def _collect(self) -> None:
        """Says what has ended."""
        ready = wait([running.process.sentinel for running in self._running], timeout=0)
        for running in [one for one in self._running if one.process.sentinel in ready]:
            self._running.remove(running)
            found = ended(running.process, self.progress.sweep / running.job.folder)
            if self._at_once and found.status == "failed":
                found = State("stopped", found.value)
            running.process.close()
            self.progress.source.tell(running.job, found)
            self.progress.end(running.job, found)

    def _pass_on(self, woken: int) -> None:
        """No further job starts; those that run save. A second Ctrl-C does not wait for that."""
        with contextlib.suppress(BlockingIOError):
            os.read(woken, 1024)
        while self._received:
            number = self._received.pop(0)
            at_once = self.signal is not None and number == signal.SIGINT
            if self.signal is not None and not at_once:
                continue
            self.signal, self._at_once = self.signal or number, at_once
            what = "leave at once" if at_once else "save and stop"
            name = signal.Signals(number).name
            line = f"{name}: the jobs that run ({len(self._running)}) {what}"
            console.say(line, sys.stderr)
            for running in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.process.pid or 0, signal.SIGKILL if at_once else number)

    @contextlib.contextmanager
    def _signals(self) -> Generator[int]:
        """Collects signals; gives a descriptor that becomes ready when one has come."""
        woken, wake = os.pipe()
        for end in (woken, wake):
            os.set_blocking(end, False)
        before = [signal.signal(number, self._receive) for number in STOPPING]
        waking = signal.set_wakeup_fd(wake)
        try:
            yield woken
        finally:
            signal.set_wakeup_fd(waking)
            for number, handler in zip(STOPPING, before, strict=True):
                signal.signal(number, handler)
            os.close(woken)
            os.close(wake)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._received.append(number)
