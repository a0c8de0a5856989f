"""Sweeps for tests: their commands, what their folders say, and waiting for what is to come."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import Trainer

from trainer.sweep import sweep_file
from trainer.sweep.jobs import Job, state

ROOT = Path(__file__).parents[1]
LINEAR = ["experiment=linear_regression", "device=cpu", "epochs=3"]


def plan_of(sweep: Path) -> dict[str, Any]:
    return json.loads((sweep / "sweep.json").read_text())


def jobs(sweep: Path) -> list[Job]:
    plan = sweep_file.read(sweep)
    assert plan is not None
    if plan.direction is None:
        return plan.jobs
    from trainer.sweep.search import found_jobs

    keys = [key for key in plan.jobs[0].settings if key.startswith("search.")]
    return found_jobs(sweep, plan.direction, len(keys))


def statuses(sweep: Path) -> list[str]:
    return [state(sweep / job.folder).status for job in jobs(sweep)]


def sweep_command(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trainer.sweep", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def wait_until(there: Callable[[], object], process: Trainer | None, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not there():
        alive = process is None or process.process.is_alive()
        if time.monotonic() > end or not alive:
            raise TimeoutError(f"{process.out}\n{process.err}" if process else "it did not come")
        time.sleep(0.005)


def training(run: Path, epochs: int = 1) -> bool:
    """Whether it has come to the end of so many epochs."""
    metrics = run / "metrics.jsonl"
    return metrics.exists() and metrics.read_text().count("\n") >= epochs


def pid_of(run: Path) -> int:
    """The process that has a run, by its lock."""
    return int((run / ".lock").read_text().split()[1])  # process 123 on here


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())
