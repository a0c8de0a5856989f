"""What happens before anything does: the arguments become one run, one resumed run, or a sweep."""

import contextlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.override_parser.types import Override

from trainer import folders, job_ledger, launchers, same_sweep, searches, storage, sweep_plan
from trainer.arguments import compose_run, parse, quote, quoted
from trainer.config import Config
from trainer.data import cifar10_files
from trainer.data.options import Cifar10
from trainer.launch import Launch
from trainer.resumption import check_resumable, saved_config

if TYPE_CHECKING:
    from trainer.checkpoint import Commit

SWEEP_FLAGS = ("-m", "--multirun")


@dataclass(frozen=True, slots=True)
class Start:
    """A new run. Its folder is reserved: locked, and no other run's."""

    arguments: list[str]
    config: Config
    folder: Path


@dataclass(frozen=True, slots=True)
class Resume:
    """A run that goes on in its own folder, which is locked."""

    config: Config
    folder: Path
    commit: "Commit"


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


def enter(arguments: Sequence[str], locks: contextlib.ExitStack) -> Start | Resume | Sweep:
    """Decides what the arguments ask for and refuses what cannot be, before any work starts.

    Args:
        arguments: Overrides, and `-m`.
        locks: Gets the lock of the folder.

    Raises:
        ValueError: In one line, for an argument or a value that cannot be.
        FileNotFoundError: If the data set or the checkpoint is missing.
        BlockingIOError: If another process works in the folder.
    """
    sweep = any(flag in arguments for flag in SWEEP_FLAGS)
    quoted_arguments = [quoted(a) for a in arguments if a not in SWEEP_FLAGS]
    overrides = parse(quoted_arguments)
    launchers.check_installed(overrides)
    resume = _resume_value(overrides)
    if sweep:
        return _sweep(quoted_arguments, overrides, resume, locks)
    for override in overrides:
        if override.key_or_group == "search" and override.value() is not None:
            raise ValueError(f"{override.input_line}: is for a sweep; add -m")
    if resume is not None and resume != "auto":
        return _resume(Path(resume), overrides, locks)
    composed = compose_run(quoted_arguments)
    if resume == "auto" and folders.belongs_to_a_run(composed.run_dir):
        return _resume_auto(composed.config, composed.run_dir, locks)
    check([composed.config])
    composed.config.anchor()
    explicit = _says(overrides, "hydra.run.dir")
    folder = folders.reserve(composed.run_dir, "hydra.run.dir", explicit=explicit, locks=locks)
    return Start(_with_folder(quoted_arguments, "hydra.run.dir", folder), composed.config, folder)


def check(configs: Sequence[Config]) -> None:
    """Everything that can be refused before a folder is made.

    Raises:
        ValueError: If schedule, device or parameter groups do not fit the run or the machine.
        FileNotFoundError: If the data set or the `init` checkpoint is missing.
    """
    launch = Launch.from_environment()
    for config in configs:
        launch.check(config)
        config.resolve_schedule()
    for config in configs:
        provide_data(config)
    from trainer import checkpoint, device  # torch takes seconds to import: last
    from trainer.models.build import parameters_of
    from trainer.optimizers.build import parameter_groups

    for config in configs:
        chosen = device.choose_device(config.device, launch)
        device.choose_precision(config.amp, chosen)
        cycles = config.resolve_schedule().momentum is not None
        device.choose_engine(
            config.engine,
            chosen,
            loader=config.data.loader,
            cycles_momentum=cycles,
            processes=launch.processes,
        )
        parameter_groups(config.optimizer, parameters_of(config.model))
        if config.init:
            checkpoint.find(Path(config.init))


def provide_data(config: Config) -> None:
    """Finds or downloads the data set."""
    if isinstance(config.data, Cifar10):
        option = config.data
        cifar10_files.provide(Path(option.root), option.download, option.url)


def _says(overrides: Sequence[Override], key: str) -> bool:
    return any(override.key_or_group == key for override in overrides)


def _with_folder(arguments: Sequence[str], key: str, folder: Path) -> list[str]:
    """The arguments with a folder put down as it was reserved."""
    others = [a for a in arguments if not a.lstrip("+").startswith(f"{key}=")]
    return [*others, f"{key}={quote(str(folder))}"]


def _resume_value(overrides: Sequence[Override]) -> str | None:
    """What `resume=` says; None: a new run."""
    values = [override.value() for override in overrides if override.key_or_group == "resume"]
    if len(values) > 1:
        raise ValueError("resume: is given more than once")
    if not values or values[0] is None:
        return None
    value = str(values[0])
    if not value:
        raise ValueError("resume=: is empty; name a run folder or a checkpoint")
    if value != "auto" and _says(overrides, "init"):
        raise ValueError("init: starts a new run and cannot stand beside resume")
    return value


def _sweep(
    arguments: list[str],
    overrides: list[Override],
    resume: str | None,
    locks: contextlib.ExitStack,
) -> Sweep:
    if resume is not None:
        raise ValueError(f"resume={resume}: goes on with one run; leave out -m")
    if _says(overrides, "hydra.run.dir"):
        raise ValueError("hydra.run.dir: is for a single run; a sweep takes hydra.sweep.dir")
    sweep_plan.check(overrides)
    plain = [a for a in arguments if not a.lstrip("+").startswith("hydra.sweep.dir=")]
    search = searches.find(overrides)
    if search is not None:
        check(search.configs)
        first, configs = search.base, search.configs[:1]
        wanted = job_ledger.sought(plain, first.config, search.trials)
    else:
        first, listed = sweep_plan.listed(overrides)
        configs = [config for _, config in listed]
        check(configs)
        wanted = job_ledger.planned(plain, listed)
    said = [override.key_or_group for override in overrides]
    launch = launchers.fitted(first.hydra, said, configs, search=search is not None)
    explicit = _says(overrides, "hydra.sweep.dir")
    if explicit and (found := job_ledger.read(first.sweep_dir)) is not None:
        same_sweep.check(found, wanted, first.sweep_dir)
        folder = first.sweep_dir.resolve()
        locks.enter_context(folders.locked(folder))
        job_ledger.reopen(folder, wanted)
    else:
        folder = folders.reserve(first.sweep_dir, "hydra.sweep.dir", explicit=explicit, locks=locks)
        job_ledger.write(folder, wanted)
    searched = None if search is None else search.searched
    more = [*launch.arguments, *(() if search is None else search.arguments)]
    keys = tuple(f"{argument.partition('=')[0]}=" for argument in more)
    whole = [*(a for a in arguments if not a.lstrip("+").startswith(keys)), *more]
    return Sweep(_with_folder(whole, "hydra.sweep.dir", folder), folder, launch, searched)


def _resume(place: Path, overrides: list[Override], locks: contextlib.ExitStack) -> Resume:
    for override in overrides:
        check_resumable(override)
    if not place.exists():
        run = place.parent.parent
        rotated = place.parent.name == "checkpoints" and folders.belongs_to_a_run(run)
        way_out = f"; resume={run} goes on from the newest" if rotated else ""
        raise ValueError(f"resume={place}: there is no such run folder or checkpoint{way_out}")
    if (place / job_ledger.FILE).is_file():
        raise ValueError(
            f"resume={place}: is a sweep's folder; to go on with it: python -m trainer.sweep retry "
            f"{shlex.quote(str(place))}"
        )
    inside = place.parent if place.is_file() else place
    folder = (inside.parent if inside.name == "checkpoints" else inside).resolve()
    if not folders.belongs_to_a_run(folder) or (place.is_file() and inside.name != "checkpoints"):
        way_out = f"; init={place} starts a new run from it" if storage.is_sealed(place) else ""
        raise ValueError(f"resume={place}: is not a run folder or a checkpoint in one{way_out}")
    locks.enter_context(folders.locked(folder))  # before reading: its last owner may still commit
    from trainer import checkpoint  # torch takes seconds; a mistyped argument answers without it

    commit = checkpoint.find(place)
    config = saved_config(commit, overrides)
    Launch.from_environment().check(config)
    config.resolve_schedule()
    provide_data(config)
    return Resume(config, folder, commit)


def _resume_auto(config: Config, folder: Path, locks: contextlib.ExitStack) -> Resume:
    locks.enter_context(folders.locked(folder))
    from trainer import checkpoint

    Launch.from_environment().check(config)
    commit = checkpoint.find(folder)
    config.anchor()
    provide_data(config)
    return Resume(config, folder.resolve(), commit)
