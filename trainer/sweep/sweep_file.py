"""`sweep.json`: which jobs a sweep has and where they lie; written once, compared ever after."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.storage import files, run_folder
from trainer.sweep.jobs import Job

FILE = run_folder.SWEEP
FORMAT = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sweep is to do.

    Attributes:
        arguments: The command line behind `-m`, less what is for one call alone.
        cwd: Where the command was given.
        jobs: In order; of a search, whose jobs stand in its journal, the base that they share.
        direction: `maximize` or `minimize` for a search; None: the jobs are listed.
        n_trials: How many jobs a search is to have.
    """

    arguments: list[str]
    cwd: str
    jobs: list[Job]
    direction: str | None = None
    n_trials: int = 0


def write(folder: Path, plan: Plan) -> None:
    """Puts the plan in place."""
    entries = {
        "format": FORMAT,
        "arguments": plan.arguments,
        "cwd": plan.cwd,
        "direction": plan.direction,
        "n_trials": plan.n_trials,
        "jobs": [
            {"overrides": job.overrides, "folder": job.folder, "settings": job.settings}
            for job in plan.jobs
        ],
    }
    files.write_text(folder / FILE, json.dumps(entries, indent=1) + "\n")


def read(folder: Path) -> Plan | None:
    """The plan of a sweep's folder; None if it has none.

    Raises:
        ValueError: If it cannot be read, or is of an older version; names the file.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = entries["format"]
        if version == FORMAT:
            return _plan(entries)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read as a sweep's plan: {error}") from error
    older = "; an older version wrote it, python -m trainer.report shows its runs"
    raise ValueError(
        f"{path}: has format {version}, this program reads {FORMAT}{older if version == 1 else ''}"
    )


def _plan(entries: dict[str, Any]) -> Plan:
    jobs = [
        Job(number, _texts(job["overrides"]), str(job["folder"]), dict(job["settings"]))
        for number, job in enumerate(entries["jobs"])
    ]
    for job in jobs:
        if os.path.isabs(job.folder) or ".." in Path(job.folder).parts:
            raise ValueError(f"job {job.number} has folder {job.folder}")
    direction = entries["direction"]
    if direction not in (None, "maximize", "minimize") or (direction is not None and not jobs):
        raise ValueError(f"its direction is {direction}")
    trials, cwd = int(entries["n_trials"]), str(entries["cwd"])
    return Plan(_texts(entries["arguments"]), cwd, jobs, direction, trials)


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"{str(value)[:60]} is no list of texts")
    return value


def check_same(found: Plan, plan: Plan, folder: Path) -> None:
    """Compares the plan that a folder has with the one of the command that is given now.

    Raises:
        FileExistsError: If they differ; names the first key, or the first job, that does.
    """
    difference = None
    if (found.direction is None) != (plan.direction is None):
        difference = "a search chooses its jobs" if found.direction else "its jobs are listed"
    elif len(found.jobs) != len(plan.jobs):
        difference = f"it has {len(found.jobs)} jobs, here it would have {len(plan.jobs)}"
    for here, new in zip(found.jobs, plan.jobs, strict=False):
        keys = {**here.settings, **new.settings}  # in their order
        other = [k for k in keys if _typed(k, here.settings) != _typed(k, new.settings)]
        if other:
            whose = "the base of its search" if plan.direction else f"its job {here.number}"
            key = other[0]
            before, now = _typed(key, here.settings), _typed(key, new.settings)
            difference = f"{whose} is {before}, here it would be {now}"
            break
    if difference is not None:
        raise FileExistsError(
            f"hydra.sweep.dir={folder}: belongs to another sweep: {difference}; another folder "
            "starts a new one"
        )


def _typed(key: str, settings: dict[str, Any]) -> str:
    value = settings.get(key, "absent")
    return f"{key}={'null' if value is None else value}"
