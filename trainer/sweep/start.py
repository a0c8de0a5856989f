"""What the arguments of a sweep ask for: jobs that all compose, checked before any work."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.types import Override

from trainer.config.overrides import given, with_folder
from trainer.storage import files, folders
from trainer.sweep import job_ledger, launchers, same_sweep, searches, sweep_plan
from trainer.training.start import check, resume_value


@dataclass(frozen=True, slots=True)
class Sweep:
    """Several runs, all of which compose. Their common folder is locked and holds the ledger.

    Attributes:
        arguments: For Hydra.
        folder: Their common folder.
        launch: How they are started.
        searched: The keys that a search chooses; None: the runs were listed.
    """

    arguments: list[str]
    folder: Path
    launch: launchers.JobLaunch
    searched: tuple[str, ...] | None


def begin(arguments: list[str], overrides: list[Override], locks: contextlib.ExitStack) -> Sweep:
    """Plans a sweep and refuses what cannot be, before any job starts.

    Args:
        arguments: Quoted overrides.
        overrides: The same, parsed.
        locks: Gets the lock of the sweep's folder.

    Raises:
        ValueError: In one line, for an argument or a value that cannot be.
        FileNotFoundError: If a data set or a checkpoint is missing.
        FileExistsError: If the folder belongs to another sweep.
        BlockingIOError: If another process works in the folder.
    """
    if (resume := resume_value(overrides)) is not None:
        raise ValueError(f"resume={resume}: goes on with one run; leave out -m")
    if given(overrides, "hydra.run.dir"):
        raise ValueError("hydra.run.dir: is for a single run; a sweep takes hydra.sweep.dir")
    sweep_plan.check(overrides)
    plain = [a for a in arguments if not a.lstrip("+").startswith("hydra.sweep.dir=")]
    search = searches.find(overrides)
    if search is not None:
        check(search.configs)
        first, configs = search.base, search.configs[:1]
        planned = job_ledger.sought(plain, first.config, search.trials)
    else:
        first, listed = sweep_plan.listed(overrides)
        configs = [config for _, config in listed]
        check(configs)
        planned = job_ledger.planned(plain, listed)
    given_keys = [override.key_or_group for override in overrides]
    launch = launchers.fitted(first.hydra, given_keys, configs, search=search is not None)
    explicit = given(overrides, "hydra.sweep.dir")
    if explicit and (found := job_ledger.read(first.sweep_dir)) is not None:
        same_sweep.check(found, planned, first.sweep_dir)
        folder = first.sweep_dir.resolve()
        locks.enter_context(files.locked(folder))
        job_ledger.reopen(folder, planned)
    else:
        folder = folders.reserve(first.sweep_dir, "hydra.sweep.dir", explicit=explicit, locks=locks)
        job_ledger.write(folder, planned)
    searched = None if search is None else search.searched
    more = [*launch.arguments, *(() if search is None else search.arguments)]
    keys = tuple(f"{argument.partition('=')[0]}=" for argument in more)
    whole = [*(a for a in arguments if not a.lstrip("+").startswith(keys)), *more]
    return Sweep(with_folder(whole, "hydra.sweep.dir", folder), folder, launch, searched)
