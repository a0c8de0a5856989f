"""Training a run of the study, whole or its first epoch alone."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from studies.wanted import Wanted
from trainer.config.quoting import quote


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
            while process.poll() is None and first_row(folder) is None:
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait()
        said.seek(0)
        return (said.read().splitlines() or [f"exit code {process.returncode}"])[-1]


def first_row(folder: Path) -> dict[str, Any] | None:
    """The first line of a run's metrics.jsonl; None: it is not there yet."""
    path = folder / "metrics.jsonl"
    first, newline, _ = path.read_text().partition("\n") if path.exists() else ("", "", "")
    return json.loads(first) if newline else None


def _command(wanted: Wanted, folder: Path) -> list[str]:
    places = [f"name={wanted.name}", f"hydra.run.dir={quote(str(folder))}", "resume=auto"]
    arguments = [*wanted.overrides, *places, "log.progress=lines"]
    return [sys.executable, "-m", "trainer", *arguments]
