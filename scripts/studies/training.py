"""Training a run of the study, whole or its first epoch alone."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from studies.wanted import Wanted
from trainer.config.quoting import quote
from trainer.storage import run_folder


def train(wanted: Wanted, folder: Path) -> int:
    """Trains a run in its own folder, or goes on there; returns the exit code."""
    return subprocess.run(_command(wanted, folder), check=False).returncode


def train_first_epoch(wanted: Wanted, folder: Path, threads: str | None) -> str:
    """Trains a run until its first epoch is evaluated; returns its last line on standard error.

    Args:
        wanted: The run.
        folder: Where to.
        threads: As many as the run that it is compared with had; None: as they come.
    """
    # Threads that sleep while they wait give the same numbers, and leave a busy machine alone.
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = threads
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            _command(wanted, folder), env=environment, stdout=subprocess.DEVNULL, stderr=said
        )
        try:
            while process.poll() is None and not run_folder.rows(folder):
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait()
        said.seek(0)
        return (said.read().splitlines() or [f"exit code {process.returncode}"])[-1]


def _command(wanted: Wanted, folder: Path) -> list[str]:
    places = [f"name={wanted.name}", f"hydra.run.dir={quote(str(folder))}", "resume=auto"]
    arguments = [*wanted.overrides, *places, "log.progress=lines"]
    return [sys.executable, "-m", "trainer", *arguments]
