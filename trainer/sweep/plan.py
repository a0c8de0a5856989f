"""The jobs of a sweep, listed out of the command line and composed; nothing is written here."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override

from trainer.cli.launch import Launch
from trainer.config.fields import Config
from trainer.config.overrides import Composed, compose_run, given, jobs
from trainer.config.sameness import experiment
from trainer.options.keys import flat
from trainer.sweep import search_options
from trainer.sweep.jobs import Job
from trainer.sweep.search_options import SearchOptions
from trainer.sweep.space import drawn_from
from trainer.sweep.sweep_file import Plan
from trainer.training.start import resume_value

# What is about the sweep, and no part of its jobs' commands.
SWEEP_KEYS = (
    "hydra.sweep.",
    "hydra.launcher.",
    "hydra.sweeper.",
    "hydra/launcher",
    "hydra/sweeper",
)
BATCH = "hydra.sweeper.max_batch_size"  # of Hydra's own sweeper: jobs in one call of a launcher


@dataclass(frozen=True, slots=True)
class Planned:
    """What a command asks for.

    Attributes:
        first: The first job as composed, or the base of a search.
        configs: Every job's configuration; of a search its base and the ends of what it searches.
        plan: The jobs.
        search: The search; None: the jobs are listed.
        fixed: The overrides that all jobs share, those about the sweep included.
    """

    first: Composed
    configs: list[Config]
    plan: Plan
    search: SearchOptions | None
    fixed: list[Override]

    @property
    def launcher(self) -> str:
        """Hydra's name of what starts the jobs."""
        return str(self.first.hydra.runtime.choices["hydra/launcher"])

    @property
    def total(self) -> int:
        """How many jobs there are to be."""
        return len(self.plan.jobs) if self.search is None else self.search.n_trials


def planned(arguments: Sequence[str], overrides: Sequence[Override]) -> Planned:
    """Lists and composes the jobs.

    Args:
        arguments: Quoted overrides, as behind `-m`.
        overrides: The same, parsed.

    Raises:
        ValueError: If one cannot be, or two would share a folder; in one line.
        NotADirectoryError: If a file stands where a job's folder is to be.
    """
    _check(overrides)
    kept = [a for a in arguments if not a.lstrip("+").startswith(("hydra.sweep.dir=", "until="))]
    search = search_options.asked_for(overrides)
    own = [override for override in overrides if not search_options.concerns(override)]
    fixed = [override for override in own if not override.is_sweep_override()]
    if search is not None:
        return _sought(kept, fixed, search)
    composed: list[Composed] = []
    made: list[Job] = []
    for number, job in enumerate(jobs(own)):
        try:
            composed.append(_composed(job, number))
        except ValueError as error:
            raise ValueError(f"job {number} ({' '.join(job)}): {error}") from error
        pairs = list(zip(own, job, strict=True))
        swept = [value for override, value in pairs if override.is_sweep_override()]
        command = tuple(value for override, value in pairs if not about_the_sweep(override))
        folder = os.path.normpath(composed[-1].job_dir)
        made.append(Job(number, swept, folder, settings(composed[-1].config, swept), command))
    check_folders(composed)
    plan = Plan(kept, os.getcwd(), made)
    return Planned(composed[0], [one.config for one in composed], plan, None, fixed)


def _sought(kept: list[str], fixed: list[Override], search: SearchOptions) -> Planned:
    """A search: its base, and each end and choice of what it searches."""
    if given(fixed, "hydra.sweep.subdir"):
        raise ValueError("hydra.sweep.subdir: a search's jobs lie in their numbers; leave it out")
    lines = [str(override.input_line) for override in fixed]
    base = _composed(lines)
    check_folders([base])
    configs = [base.config]
    for key, text in search.params.items():
        for argument in drawn_from(key, text)[1]:
            try:
                configs.append(_composed([*lines, argument]).config)
            except ValueError as error:
                raise ValueError(f"search over {key}={text}: {error}") from error
    space = {f"{search_options.GROUP}.{key}": text for key, text in search.params.items()}
    job = Job(0, [], "", settings(base.config, []) | space)
    plan = Plan(kept, os.getcwd(), [job], base.config.direction(), search.n_trials)
    return Planned(base, configs, plan, search, fixed)


def _composed(arguments: Sequence[str], number: int = 0) -> Composed:
    composed = compose_run(arguments, number)
    composed.config.resolve_schedule()
    composed.config.anchor()
    return composed


def settings(config: Config, overrides: Sequence[str]) -> dict[str, Any]:
    """What was asked for, and what else sets a job apart (`device=cpu,cuda`), as JSON has it."""
    keys = {override.partition("=")[0].lstrip("+") for override in overrides}
    more = {key: value for key, value in flat(config.to_dict()).items() if key in keys}
    return json.loads(json.dumps(experiment(config) | more))


def about_the_sweep(override: Override) -> bool:
    """Whether an override is about the sweep, and no part of its jobs' commands."""
    return override.key_or_group.startswith(SWEEP_KEYS)


def _check(overrides: Sequence[Override]) -> None:
    """Refuses what is for something else, or has no meaning in a sweep."""
    if Launch.from_environment().processes > 1:
        raise ValueError(
            "-m: starts processes of its own; leave out torchrun, "
            "hydra.launcher.processes_per_job=N gives each job N processes"
        )
    if (resume := resume_value(overrides)) is not None:
        raise ValueError(f"resume={resume}: goes on with one run; leave out -m")
    if given(overrides, "hydra.run.dir"):
        raise ValueError("hydra.run.dir: is for a single run; a sweep takes hydra.sweep.dir")
    last = {(override.key_or_group, override.package): override for override in overrides}
    for override in overrides:
        key, line = override.key_or_group, override.input_line
        if key.startswith(("hydra/sweeper", "hydra.sweeper.")) and key != BATCH:
            name = key.rpartition(".")[2]
            way = "hydra.launcher.n_jobs" if name == "n_jobs" else f"search.{name}"
            more = f", with {way}" if "." in key else ""
            raise ValueError(
                f"{line}: Hydra's sweepers are not used; search=lr searches by Optuna{more}"
            )
        if override.is_sweep_override():
            if getattr(override.value(), "shuffle", False):
                raise ValueError(
                    f"{line}: a sweep has one order, so that it can go on; leave out shuffle()"
                )
            if last[key, override.package] is not override:  # the only one that would count
                raise ValueError(f"{line}: {key} is given again behind it; leave one out")
            if override.is_hydra_override():
                raise ValueError(f"{line}: is for the whole sweep; give it one value")


def check_folders(composed: Sequence[Composed]) -> None:
    """Each job has a folder for itself, below the sweep's, and paths keep their meaning.

    Raises:
        ValueError: If not.
        NotADirectoryError: If a file stands in place of a job's folder.
    """
    hydra = composed[0].hydra
    if hydra.job.chdir:
        raise ValueError(
            "hydra.job.chdir=true: would give relative paths another meaning; leave it out"
        )
    if (at_once := hydra.sweeper.get("max_batch_size")) is not None and at_once < 1:
        raise ValueError(f"{BATCH}={at_once}: must be at least 1")
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
