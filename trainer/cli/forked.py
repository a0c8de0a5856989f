"""`python -m trainer` in a process of its own, forked from one that has imported torch."""

import contextlib
import itertools
import multiprocessing
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path

from trainer.cli import console, signals

# A killed trainer cannot put its workers' semaphores away; Python would complain at our end.
sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["trainer.__main__", "trainer.training.preloaded"])
_numbers = itertools.count(1)
STOPPING = (signal.SIGINT, signal.SIGTERM)


def start_server() -> None:
    """Starts the process that others are forked from; it imports torch while this one goes on.

    A signal to the whole group of processes does not end it: those forked from it are told by us.
    """
    resource_tracker.ensure_running()  # unblocks these signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_job(
    arguments: list[str], *, module: str, environment: Mapping[str, str], output: Path | None
) -> BaseProcess:
    """Starts a command line in a session of its own; it is told to stop when this process dies.

    Args:
        arguments: As on the command line.
        module: What `python -m` would run: `trainer`, or a launcher of it.
        environment: Its whole environment.
        output: The file that what it prints is added to; None: it prints where this process does.
    """
    start_server()
    if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method(None, force=True)  # joblib's own, unknown to what we fork
    process: BaseProcess = _context.Process(
        target=_job, args=(arguments, module, dict(environment), output, Path.cwd())
    )
    process.start()
    return process


class TrainerProcess:
    """One process that runs the trainer's command line; it starts in about a tenth of a second.

    Args:
        arguments: As on the command line.
        folder: Its current directory.
        printed: Where the files lie that get what it prints; None: in its current directory.
        prepare: Called in the process before anything else; must be picklable.
        stdout: Where its standard output goes instead.
    """

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        *,
        printed: Path | None = None,
        prepare: Callable[[], object] | None = None,
        stdout: Path | None = None,
    ) -> None:
        stem = (printed or folder) / f".process_{os.getpid()}_{next(_numbers)}"
        self._out = stdout or stem.with_suffix(".out")
        self._err = stem.with_suffix(".err")
        self.process: BaseProcess = _context.Process(
            target=_command, args=(arguments, folder, self._out, self._err, prepare)
        )
        self.process.start()
        while not self._err.exists() and self.process.is_alive():  # it takes no signals before
            time.sleep(0.001)

    @property
    def out(self) -> str:
        """What it has printed."""
        return self._out.read_text() if self._out.is_file() else ""

    @property
    def err(self) -> str:
        """Its warnings and errors."""
        return self._err.read_text() if self._err.is_file() else ""

    def wait_for(self, text: str, seconds: float = 300) -> None:
        """Waits until it has printed a text.

        Raises:
            TimeoutError: If it does not, or ends before.
        """
        end = time.monotonic() + seconds
        while text not in self.out:
            if time.monotonic() > end or not self.process.is_alive():
                raise TimeoutError(f"no {text!r} in:\n{self.out}\n{self.err}")
            time.sleep(0.005)

    def kill(self, number: int) -> None:
        """Sends it a signal."""
        if self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(self.process.pid, number)

    def code(self, seconds: float | None = 600) -> int | None:
        """Its exit code, negative for a signal; waits for it. None: it still runs."""
        self.process.join(seconds)
        return self.process.exitcode


def _command(
    arguments: list[str], folder: Path, out: Path, err: Path, prepare: Callable[[], object] | None
) -> None:
    """What a `TrainerProcess` runs."""
    signals.end_at_once()  # as `python -m trainer` begins
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        _send(number, path)
    sys.argv = ["trainer", *arguments]
    if prepare is not None:
        prepare()
    _run("trainer")


def _job(
    arguments: list[str],
    module: str,
    environment: Mapping[str, str],
    output: Path | None,
    folder: Path,
) -> None:
    """What `start_job` runs."""
    os.setsid()  # a Ctrl-C on the terminal reaches it through the process that started it only
    signals.end_at_once()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if output is not None:
        for number in (1, 2):
            _send(number, output)
    sys.argv = [module, *arguments]
    _run(module)


def _stop_with_parent() -> None:
    """Waits, on a pipe whose other end the parent holds, for its death; then stops this process."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _send(number: int, path: Path) -> None:
    """Sends a stream to the end of a file."""
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)


def _run(module: str) -> None:
    """Runs a module as `python -m` does, and leaves the process with its exit code."""
    multiprocessing.set_start_method(None, force=True)  # its data workers start as anybody's do
    # what it imports stays; it begins as `python -m` does
    sys.modules.pop("trainer.__main__", None)
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as left:
        code = left.code
    else:
        code = 0
    console.finish(sys.stdout)
    console.finish(sys.stderr)
    os._exit(code if isinstance(code, int) else 1)
