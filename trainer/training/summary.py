"""What a run folder says about its run: config.yaml and summary.json."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

import trainer
from trainer.config.fields import Config
from trainer.storage import files, run_folder
from trainer.training import device
from trainer.training.code_hash import code_sha256
from trainer.training.history import Row, public
from trainer.training.run import Run


def monitored_name(run: Run) -> str:
    """The metric that decides which weights are the best."""
    return run.config.monitored()


def evaluated_rows(run: Run) -> list[Row]:
    """The rows with an evaluation; of a fork those since it branched off."""
    since = -1 if run.lineage is None else int(run.lineage["step"])
    name = monitored_name(run)
    return [row for row in run.history.rows if name in row and row["step"] > since]


def monitored_values(run: Run) -> list[float]:
    """The monitored metric after each evaluation, higher is better."""
    name = monitored_name(run)
    sign = 1 if run.config.higher_is_better(name) else -1
    return [sign * row[name] for row in evaluated_rows(run)]


def best_row(run: Run) -> Row:
    """The first row with the best monitored metric.

    Raises:
        ValueError: Before the first evaluation.
    """
    values = monitored_values(run)
    return evaluated_rows(run)[values.index(max(values))]


def is_best(run: Run, row: Row) -> bool:
    """Whether a row that is not in the history yet is better than all before it."""
    name = monitored_name(run)
    sign = 1 if run.config.higher_is_better(name) else -1
    return sign * row[name] > max(monitored_values(run), default=-math.inf)


def read_status(folder: Path) -> tuple[str, int] | None:
    """Status and steps that summary.json tells of; None if it tells nothing."""
    entries = run_folder.summary(folder)
    known = isinstance(entries.get("status"), str) and isinstance(entries.get("updates"), int)
    return (entries["status"], entries["updates"]) if known else None


def write_config(folder: Path, config: Config) -> None:
    """Writes the resolved configuration, with every option's name."""
    files.write_text(folder / run_folder.CONFIG, OmegaConf.to_yaml(config.to_dict()))


def write_summary(
    folder: Path, run: Run, *, status: str, command: Sequence[str], **more: Any
) -> dict[str, Any]:
    """Writes summary.json and returns what it says.

    Args:
        folder: The run folder.
        run: The run.
        status: `running`, `done`, `stopped`, `paused` or `failed`.
        command: The command line.
        more: Further entries, e.g. `error` or `final`.
    """
    rows, progress = run.history.rows, run.progress
    best = best_row(run) if monitored_values(run) else None
    entries: dict[str, Any] = {
        "status": status,
        "name": run.config.name,
        "epochs": progress.epoch,
        "updates": progress.step,
        "skipped_updates": progress.skipped_updates,
        "seconds": round(progress.seconds, 3),
        "last": public(rows[-1]) if rows else None,
        "best": {"monitor": monitored_name(run), **public(best)} if best else None,
        **more,
        **({"lineage": run.lineage} if run.lineage else {}),
        "data": {"name": run.config.data.name, "sha256": run.data.sha256},
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "device": device.describe(run.device),
        "engine": run.environment()["engine"],
        "precision": run.precision,
        "versions": {
            "trainer": trainer.__version__,
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "torchvision": metadata.version("torchvision"),  # importing it takes a second
        },
        "git": _git_commit(),
        "code": _code(folder),
        "command": list(command),
        "fingerprint": run.fingerprint(),
    }
    files.write_text(folder / run_folder.SUMMARY, json.dumps(entries, indent=2) + "\n")
    return entries


def _code(folder: Path) -> str | None:
    """The hash of the code that decides numbers; None if the run was begun with another."""
    damaged: list[str] = []
    earlier = run_folder.summary(folder, damaged)
    same = not damaged and earlier.get("code", code_sha256()) == code_sha256()
    return code_sha256() if same else None


def _git_commit() -> str | None:
    """The commit of the checkout that this code runs from; None where it is not one."""
    folder = Path(trainer.__file__).parent
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # An installed copy may lie inside somebody else's repository.
    known = (folder.parent / "pyproject.toml").exists() and (folder.parent / "conf").exists()
    return done.stdout.strip() if done.returncode == 0 and known else None
