"""`sweep.json`: which jobs a sweep has and where they lie; written once, compared ever after."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

from trainer.config.fields import Config
from trainer.config.sameness import experiment
from trainer.options.keys import flat
from trainer.storage import files, run_folder
from trainer.sweep.jobs import Job

FILE = run_folder.SWEEP
FORMAT = 2
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What a search is to do; its jobs stand in its journal.

    Attributes:
        direction: `maximize` or `minimize`.
        n_trials: How many jobs it is to have.
        space: Each key that it chooses, and from what, as typed.
    """

    direction: str
    n_trials: int
    space: dict[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sweep is to do.

    Attributes:
        arguments: The command line behind `-m`, less what is for one call alone.
        cwd: Where the command was given.
        settings: What was asked for in the first job, or in the base of a search; paths absolute.
        jobs: In order; empty for a search.
        search: What a search is to do; None: the jobs are listed.
    """

    arguments: list[str]
    cwd: str
    settings: dict[str, Any]
    jobs: list[Job] = field(default_factory=list[Job])
    search: SearchPlan | None = None


def new(
    arguments: Sequence[str], first: Config, jobs: Sequence[Job], search: SearchPlan | None = None
) -> Plan:
    """A sweep that has not begun.

    Args:
        arguments: The command line behind `-m`.
        first: The first job's configuration, or the base of a search.
        jobs: The jobs; none for a search.
        search: What a search is to do.
    """
    settings = json.loads(json.dumps(experiment(first)))  # as it comes back out of the file
    kept = [a for a in arguments if not a.lstrip("+").startswith(("hydra.sweep.dir=", "until="))]
    return Plan(kept, os.getcwd(), settings, list(jobs), search)


def identity(config: Config, overrides: Sequence[str]) -> str:
    """SHA-256 of what was asked for, and of what else sets the job apart (`device=cpu,cuda`)."""
    keys = {override.partition("=")[0].lstrip("+") for override in overrides}
    more = {key: value for key, value in flat(config.to_dict()).items() if key in keys}
    table = json.dumps(experiment(config) | more, sort_keys=True)
    return hashlib.sha256(table.encode()).hexdigest()


def write(folder: Path, plan: Plan) -> None:
    """Puts the plan in place."""
    entries: dict[str, Any] = {"format": FORMAT, **dataclasses.asdict(plan)}
    for job in entries["jobs"]:
        del job["arguments"]
    files.write_text(folder / FILE, json.dumps(entries, indent=2) + "\n")


def read(folder: Path) -> Plan | None:
    """The plan of a sweep's folder; None if it has none.

    Raises:
        ValueError: If it cannot be read; names the file.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = entries["format"]
        if version in (1, FORMAT):
            return _plan(entries)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read as a sweep's plan: {error}") from error
    raise ValueError(f"{path}: has format {version}, this program reads {FORMAT}")


def _plan(entries: dict[str, Any]) -> Plan:
    if entries["format"] == 1:  # it kept what became of each job, too
        entries["cwd"] = entries.get("cwd") or os.getcwd()
        entries["jobs"] = [
            {**job, "folder": job.get("folder") or str(job["number"])} for job in entries["jobs"]
        ]
    jobs = [_checked(Job, job) for job in entries["jobs"]]
    for number, job in enumerate(jobs):
        if job.number != number or os.path.isabs(job.folder) or ".." in Path(job.folder).parts:
            raise ValueError(f"job {number} has number {job.number}, folder {job.folder}")
    search = entries.get("search")
    found = None if search is None else _checked(SearchPlan, search)
    return _checked(Plan, entries | {"jobs": jobs, "search": found})


def _checked(kind: type[T], entries: dict[str, Any]) -> T:
    """An object from what a file says; what it says beside is left out."""
    fields: Any = kind  # a dataclass
    known = {item.name: item for item in dataclasses.fields(fields) if item.name in entries}
    for name, item in known.items():
        if not _fits(entries[name], item.type):
            raise TypeError(f"{name} cannot be {str(entries[name])[:60]}")
    return kind(**{name: entries[name] for name in known})


def _fits(value: object, kind: Any) -> bool:
    """Whether a value is of an annotated type."""
    if isinstance(kind, UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is list:
        (inner,) = get_args(kind)
        return isinstance(value, list) and all(isinstance(item, inner) for item in value)
    return isinstance(value, get_origin(kind) or kind)


def check_same(found: Plan, plan: Plan, folder: Path) -> None:
    """Compares the plan that a folder has with the one of the command that is given now.

    Raises:
        FileExistsError: If they differ; names the first key, or the first job, that does.
    """
    if (difference := _difference(found, plan)) is not None:
        raise FileExistsError(
            f"hydra.sweep.dir={folder}: belongs to another sweep: {difference}; another folder "
            "starts a new one"
        )


def _difference(found: Plan, plan: Plan) -> str | None:
    before, now = found.search, plan.search
    if before is not None and now is not None:
        if found.settings != plan.settings:
            here, new = _first_difference(found.settings, plan.settings)
            return f"it starts from {here}, here it would from {new}"
        if (before.space, before.direction) != (now.space, now.direction):
            here, new = _first_difference(before.space, now.space)
            return f"it searches {here}, here it would {new}"
        return None
    if (before is None) != (now is None):
        return "its jobs are listed" if before is None else "its jobs are chosen by a search"
    for here, new in zip(found.jobs, plan.jobs, strict=False):
        if here.identity != new.identity:
            return _other_job(here, new, found, plan)
    if len(found.jobs) != len(plan.jobs):
        return f"it has {len(found.jobs)} jobs, here it would have {len(plan.jobs)}"
    return None


def _other_job(here: Job, new: Job, found: Plan, plan: Plan) -> str:
    """Jobs differ from the first by their overrides alone; it is compared key by key."""
    number = here.number
    if number == 0 and found.settings and found.settings != plan.settings:
        before, now = _first_difference(found.settings, plan.settings)
    elif here.overrides != new.overrides:
        before, now = here.words, new.words
    else:  # as an older version wrote it
        return f"its job {number} ({here.words}) was planned by another version of this program"
    return f"its job {number} is {before}, here it would be {now}"


def _first_difference(here: dict[str, Any], new: dict[str, Any]) -> tuple[str, str]:
    keys = [key for key in here | new if here.get(key, "absent") != new.get(key, "absent")]
    key = keys[0] if keys else "search.direction"
    return _typed(key, here.get(key, "absent")), _typed(key, new.get(key, "absent"))


def _typed(key: str, value: object) -> str:
    return f"{key}={'null' if value is None else value}"
