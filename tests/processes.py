"""Real `python -m trainer` processes, forked from a parent that has already imported torch."""

import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

TINY = [
    "data=synthetic",
    "device=cpu",
    "data.train_images=120",
    "data.test_images=40",
    "batch_size=20",
    "epochs=4",
    "log.every_steps=2",
]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["torch", "trainer.__main__", "trainer.session", "hydra.main"])


def _main(arguments: list[str], folder: str, output: str) -> None:
    os.chdir(folder)
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(f"{output}.{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["trainer"]
    from trainer.__main__ import main

    code = main(arguments)
    sys.stdout.flush()
    os._exit(code)


class Trainer:
    """One process; `folder` is its current directory."""

    _count = 0

    def __init__(self, arguments: list[str], folder: Path) -> None:
        Trainer._count += 1
        self.output = folder / f".process_{Trainer._count}"
        self.process: BaseProcess = _context.Process(
            target=_main, args=(arguments, str(folder), str(self.output))
        )
        self.process.start()

    @property
    def out(self) -> str:
        return self._read("out")

    @property
    def err(self) -> str:
        return self._read("err")

    def _read(self, name: str) -> str:
        path = Path(f"{self.output}.{name}")
        return path.read_text() if path.exists() else ""

    def wait_for(self, text: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while text not in self.out:
            if time.monotonic() > end or not self.process.is_alive():
                raise AssertionError(f"no {text!r} in:\n{self.out}\n{self.err}")
            time.sleep(0.005)

    def kill(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def code(self, seconds: float = 120) -> int | None:
        self.process.join(seconds)
        return self.process.exitcode


def train(arguments: list[str], folder: Path, *, expect: int = 0) -> Trainer:
    """Runs to the end and checks the exit code."""
    process = Trainer(arguments, folder)
    code = process.code()
    assert code == expect, f"exit code {code}:\n{process.out}\n{process.err}"
    return process
