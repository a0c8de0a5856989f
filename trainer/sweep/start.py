"""A sweep from its command line to its exit code: planned, begun or gone on with, summed up."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from trainer.cli.forked import start_server
from trainer.config.overrides import given
from trainer.storage import files, folders
from trainer.sweep import launchers, sweep_file
from trainer.sweep.jobs import Listed
from trainer.sweep.plan import Planned, about_the_sweep, planned
from trainer.sweep.processes import Processes
from trainer.sweep.progress import Progress
from trainer.sweep.slots import Slots, fitted
from trainer.training.start import check


@dataclass(frozen=True, slots=True)
class Sweep:
    """Several runs, all of which compose. Their common folder is locked and holds the plan.

    Attributes:
        planned: What the command asks for.
        slots: How many jobs run at once, and with what.
        folder: Their common folder.
    """

    planned: Planned
    slots: Slots
    folder: Path


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
    launchers.check_installed(overrides)
    wanted = planned(arguments, overrides)
    asked: Any = OmegaConf.to_container(wanted.first.hydra.launcher)
    ours = wanted.launcher in launchers.OURS
    if ours and asked.get("n_jobs", 1) == 1:  # imports torch while this process does so, too
        start_server()
    check(wanted.configs)
    slots = fitted(asked, wanted.configs, wanted.total) if ours else Slots()
    place, explicit = wanted.first.sweep_dir, given(overrides, "hydra.sweep.dir")
    if explicit and (found := sweep_file.read(place)) is not None:
        sweep_file.check_same(found, wanted.plan, place)
        folder = place.resolve()
        locks.enter_context(files.locked(folder))
        new = found.n_trials != wanted.plan.n_trials
    else:
        folder = folders.reserve(place, "hydra.sweep.dir", explicit=explicit, locks=locks)
        new = True
    if new:
        sweep_file.write(folder, wanted.plan)
    return Sweep(wanted, slots, folder)


def carry_out(sweep: Sweep) -> int:
    """Runs the jobs, and says what they came to.

    Returns:
        The exit code: 0 if every job is done, 128 + n for signal n, else 1.
    """
    wanted, direction = sweep.planned, sweep.planned.plan.direction
    source = Listed(wanted.plan.jobs)
    if wanted.search is not None and direction is not None:
        from trainer.sweep.search import Search  # Optuna takes a second

        shared = [str(one.input_line) for one in wanted.fixed if not about_the_sweep(one)]
        source = Search(sweep.folder, shared, wanted.search, direction)
    progress = Progress(sweep.folder, source, sweep.slots.count, direction)
    stopped = runner(sweep, progress).run()
    code = progress.sum_up()
    return code if stopped is None else 128 + stopped


def runner(sweep: Sweep, progress: Progress) -> Processes | launchers.Launcher:
    """What starts the jobs."""
    if sweep.planned.launcher in launchers.OURS:
        return Processes(progress, sweep.slots)
    return launchers.Launcher(sweep.planned, progress)
