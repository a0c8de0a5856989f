"""`python -m trainer` in a process of its own, forked from one that has imported torch."""

import contextlib
import itertools
import multiprocessing
import os
import runpy
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from trainer.cli import console, signals

# A killed trainer cannot put its workers' semaphores away; Python would complain at our end.
sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["trainer.__main__", "trainer.training.preloaded"])
_numbers = itertools.count(1)


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
            target=_main, args=(arguments, folder, self._out, self._err, prepare)
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


def _main(
    arguments: list[str], folder: Path, out: Path, err: Path, prepare: Callable[[], object] | None
) -> None:
    multiprocessing.set_start_method(None, force=True)  # its data workers start as anybody's do
    signals.end_at_once()  # as `python -m trainer` begins
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
    sys.argv = ["trainer", *arguments]
    if prepare is not None:
        prepare()
    sys.modules.pop(
        "trainer.__main__", None
    )  # what it imports stays; it begins as `python -m` does
    try:
        runpy.run_module("trainer", run_name="__main__")
    except SystemExit as left:
        code = left.code
    else:
        code = 0
    console.finish(sys.stdout)
    console.finish(sys.stderr)
    os._exit(code if isinstance(code, int) else 1)
