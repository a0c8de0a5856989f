"""Whether a sweep's folder belongs to the command that is given now, and a job to the sweep."""

from pathlib import Path
from typing import Any

from trainer.config.fields import Config
from trainer.sweep import job_ledger
from trainer.sweep.job_ledger import Job, Ledger, words


class NotStarted(BaseException):
    """A job that the sweep cannot have; the sweep ends there.

    No `Exception`, which Hydra would keep as the job's result, and go on.
    """


def check(found: Ledger, planned: Ledger, folder: Path) -> None:
    """Compares two plans.

    Raises:
        FileExistsError: If they differ; names the first key, or the first job, that does.
    """
    if (difference := _difference(found, planned)) is not None:
        raise FileExistsError(
            f"hydra.sweep.dir={folder}: belongs to another sweep: {difference}; another folder "
            "starts a new one"
        )


def _difference(found: Ledger, planned: Ledger) -> str | None:
    if found.direction is not None or planned.direction is not None:
        return _other_search(found, planned)
    pairs = list(zip(found.jobs, planned.jobs, strict=False))
    for here, new in pairs:
        if here.identity != new.identity:
            return _other_job(here, new, found, planned)
    if len(found.jobs) != len(planned.jobs):
        return f"it has {len(found.jobs)} jobs, here it would have {len(planned.jobs)}"
    return None


def _other_search(found: Ledger, planned: Ledger) -> str | None:
    """A search may be given another length; its trials are compared as they come."""
    if found.settings and found.settings != planned.settings:
        here, new = _first_difference(found.settings, planned.settings)
        return f"it starts from {here}, here it would from {new}"
    plain = [
        (ledger.direction, [a for a in ledger.arguments if "n_trials=" not in a])
        for ledger in (found, planned)
    ]
    return None if plain[0] == plain[1] else " ".join(found.arguments)


def _other_job(here: Job, new: Job, found: Ledger, planned: Ledger) -> str:
    """Jobs differ from the first by their overrides alone; it is compared key by key."""
    number = here.number
    if number == 0 and found.settings and found.settings != planned.settings:
        before, now = _first_difference(found.settings, planned.settings)
    elif here.overrides != new.overrides:
        before, now = words(here), words(new)
    else:  # as an older version wrote it
        return f"its job {number} ({words(here)}) was planned by another version of this program"
    return f"its job {number} is {before}, here it would be {now}"


def _first_difference(here: dict[str, Any], new: dict[str, Any]) -> tuple[str, str]:
    key = next(key for key in here | new if here.get(key, "absent") != new.get(key, "absent"))
    return _typed(key, here.get(key, "absent")), _typed(key, new.get(key, "absent"))


def _typed(key: str, value: object) -> str:
    return f"{key}={'null' if value is None else value}"


def expect(sweep: Path, number: int, config: Config) -> None:
    """Checks that a job which Hydra starts is the one that was planned.

    Raises:
        NotStarted: If it is not.
    """
    ledger = job_ledger.read(sweep)
    jobs = ledger.jobs if ledger is not None else []
    if number >= len(jobs):
        raise NotStarted(f"{sweep}: Hydra starts a job {number}, but {len(jobs)} were planned")
    job = jobs[number]
    if job.identity != job_ledger.digest(config, job.overrides):
        raise NotStarted(f"{sweep}: job {number} was planned as {words(job)}; Hydra starts another")


def expect_sought(sweep: Path, job: Job) -> None:
    """Adds a job of a search; the same one may be there from before.

    Raises:
        NotStarted: If another one of that number is there, or the sweep is stopped.
    """
    with job_ledger.changing(sweep) as ledger:
        if ledger.stop is not None:
            raise NotStarted(f"{sweep}: a job was stopped, and the search with it; retry goes on")
        for number in range(len(ledger.jobs), job.number + 1):
            ledger.jobs.append(Job(number, [], ""))  # side by side, a later one may come before it
        found = ledger.jobs[job.number]
        if found.identity not in ("", job.identity):
            raise NotStarted(
                f"{sweep}: the search no longer follows the same path: its job {job.number} is "
                f"{words(found)}, now it would be {words(job)}; another hydra.sweep.dir starts a "
                "new one"
            )
        if not found.identity:
            ledger.jobs[job.number] = job
