"""The jobs of a sweep before the first one starts: exactly those that Hydra will start."""

import os
from collections.abc import Sequence

from hydra.core.override_parser.types import Override

from trainer.config.fields import Config
from trainer.config.overrides import Composed, compose_run, jobs


def check(overrides: Sequence[Override]) -> None:
    """Refuses what Hydra would carry out otherwise than it is planned.

    Raises:
        ValueError: If an order is drawn anew each time, a key with several values is given again
            behind them, or one of Hydra's own has several.
    """
    last = {_key(override): override for override in overrides}
    for override in overrides:
        if override.is_sweep_override():
            key, line = override.key_or_group, override.input_line
            if getattr(override.value(), "shuffle", False):
                raise ValueError(f"{line}: a sweep has one order, to go on by; leave out shuffle()")
            if last[_key(override)] is not override:  # the only one that Hydra would take
                raise ValueError(f"{line}: {key} is given again behind it; leave one out")
            if override.is_hydra_override():
                raise ValueError(f"{line}: is for the whole sweep; give it one value")


def _key(override: Override) -> tuple[str, str | None]:
    return override.key_or_group, override.package


def listed(overrides: Sequence[Override]) -> tuple[Composed, list[tuple[list[str], Config]]]:
    """Every job of a sweep: the first as composed, and what sets each apart.

    Raises:
        ValueError: If one cannot be, or two would share a folder.
        NotADirectoryError: If a file stands where a job's folder is to be.
    """
    composed: list[Composed] = []
    named: list[tuple[list[str], Config]] = []
    for number, job in enumerate(jobs(overrides)):
        try:
            composed.append(compose_run(job, number))
            composed[-1].config.resolve_schedule()
        except ValueError as error:
            raise ValueError(f"job {number} ({' '.join(job)}): {error}") from error
        composed[-1].config.anchor()
        named.append((_swept(overrides, job), composed[-1].config))
    sweeper = composed[0].hydra.sweeper
    if (at_once := sweeper.get("max_batch_size")) is not None and at_once < 1:
        raise ValueError(f"hydra.sweeper.max_batch_size={at_once}: must be at least 1")
    if sweeper.get("params"):
        raise ValueError("hydra.sweeper.params: write the values into the command, as key=a,b")
    check_folders(composed)
    return composed[0], named


def check_folders(composed: Sequence[Composed]) -> None:
    """Each job has a folder for itself, below the sweep's, and paths keep their meaning.

    Raises:
        ValueError: If not.
        NotADirectoryError: If a file stands where a job's folder is to be.
    """
    if composed[0].hydra.job.chdir:
        raise ValueError(
            "hydra.job.chdir=true: would give relative paths another meaning; leave it out"
        )
    taken: dict[str, int] = {}
    for number, job in enumerate(composed):
        name = os.path.normpath(job.job_dir)
        place = job.sweep_dir / name
        if name == "." or name.startswith("..") or job.job_dir.is_absolute():
            raise ValueError(f"hydra.sweep.subdir={job.job_dir}: must lie below the sweep's folder")
        if name in taken:
            raise ValueError(
                f"hydra.sweep.subdir={name}: would be the folder of jobs {taken[name]} and "
                f"{number}; put ${{hydra.job.num}} into it"
            )
        if place.exists() and not place.is_dir():
            raise NotADirectoryError(f"{place}: is a file, in place of the folder of job {number}")
        taken[name] = number


def _swept(overrides: Sequence[Override], job: Sequence[str]) -> list[str]:
    """What sets a job apart: its values of the keys that have several."""
    pairs = zip(overrides, job, strict=True)
    return [value for override, value in pairs if override.is_sweep_override()]
