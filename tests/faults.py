"""Real faults in real processes: kills and failing calls at the n-th change of a file.

A small library, compiled on the spot, is loaded in front of the C library, so nothing in the
program knows of it: the n-th write, fsync, rename, unlink, mkdir or open below a folder kills the
process or fails with an errno of choice.
"""

import atexit
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

LOG_ONLY, KILL_BEFORE, KILL_HALF, KILL_AFTER, FAIL_ONCE, FAIL_ON = range(6)
SOURCE = Path(__file__).with_name("faults.c")


def build() -> Path | None:
    """The compiled library; None where it cannot be made."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    folder = Path(tempfile.mkdtemp(prefix="trainer-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = folder / "faults.so"
    command = [compiler, "-O1", "-std=gnu11", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    subprocess.run([*command, "-ldl"], check=True)
    return library


# Children inherit it: it must be there before the process that forks them starts.
if "TRAINER_FAULTS" not in os.environ:
    library = build()
    os.environ["TRAINER_FAULTS"] = str(library or "")
    if library is not None:
        os.environ["LD_PRELOAD"] = str(library)
AVAILABLE = bool(os.environ["TRAINER_FAULTS"])
needs_faults = pytest.mark.skipif(
    not AVAILABLE and os.environ.get("TRAINER_ALL_PROOFS") != "1",
    reason="needs Linux and a C compiler",
)


@dataclass(frozen=True)
class Fault:
    """What happens at the n-th call below a folder; call it in the process that is to suffer.

    Attributes:
        below: Prefix of the paths that count.
        n: 1-based number of the call; 0: never.
        action: One of the constants above.
        journal: Gets a line per call: `saw` or `hit`, the call, the path.
        error: The errno of a failing call.
        skew: Seconds that the wall clock is off.
    """

    below: Path
    n: int
    action: int
    journal: Path
    error: int = 0
    skew: int = 0

    def __call__(self) -> None:
        library = ctypes.CDLL(os.environ["TRAINER_FAULTS"])
        library.faults_skew(ctypes.c_long(self.skew))
        library.faults_arm(
            str(self.below).encode(), ctypes.c_long(self.n), self.action, self.error,
            str(self.journal).encode(),
        )  # fmt: skip

    def calls(self) -> list[list[str]]:
        """What was seen: (saw or hit, call, path)."""
        if not self.journal.exists():
            return []
        return [line.split(" ", 2) for line in self.journal.read_text().splitlines()]

    def hit(self) -> tuple[str, str] | None:
        """The first call that was hit, and its path."""
        return next(((call, path) for word, call, path in self.calls() if word == "hit"), None)


@dataclass(frozen=True)
class SignalAt:
    """Sends the process itself a signal at the n-th call of a function of ours.

    Attributes:
        file: The last part of the function's file, e.g. `evaluation.py`.
        function: Its name.
        n: 1-based number of the call.
        number: The signal.
        twice: Sends it again at once.
    """

    file: str
    function: str
    n: int
    number: int
    twice: bool = False

    def __call__(self) -> None:
        seen = 0

        def profile(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal seen
            code = frame.f_code
            if event != "call" or code.co_name != self.function:
                return
            if not code.co_filename.endswith(f"{os.sep}{self.file}"):
                return
            seen += 1
            if seen == self.n:
                sys.setprofile(None)
                os.kill(os.getpid(), self.number)
                if self.twice:
                    os.kill(os.getpid(), self.number)

        threading.setprofile(profile)  # commits are written in a thread
        sys.setprofile(profile)


def ends_by(number: int) -> int:
    """The exit code of a process that a signal ended."""
    return {signal.SIGTERM: 143, signal.SIGINT: 130}.get(signal.Signals(number), -number)
