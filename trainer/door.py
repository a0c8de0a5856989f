"""What happens before anything does: the arguments become one run, one resumed run, or a sweep."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainer import storage
from trainer.arguments import GROUP_NAMES, compose_run, jobs, near, parse, quote, quoted
from trainer.config import Config, flat, to_object, typed
from trainer.data import cifar10_files
from trainer.data.options import Cifar10

if TYPE_CHECKING:
    from trainer.checkpoint import Commit

SWEEP_FLAGS = ("-m", "--multirun")
COMMITS = "checkpoints/step_*.pt"


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
    """Several runs, all of which compose."""

    arguments: list[str]
    count: int


def enter(arguments: Sequence[str], locks: contextlib.ExitStack) -> Start | Resume | Sweep:
    """Decides what the arguments ask for and refuses what cannot be, before any work starts.

    Args:
        arguments: Overrides, and `-m`.
        locks: Gets the lock of the run folder.

    Raises:
        ValueError: In one line, for an argument or a value that cannot be.
        FileNotFoundError: If the data set or the checkpoint is missing.
        BlockingIOError: If another process works in the folder.
    """
    sweep = any(flag in arguments for flag in SWEEP_FLAGS)
    quoted_arguments = [quoted(a) for a in arguments if a not in SWEEP_FLAGS]
    overrides = parse(quoted_arguments)
    resume = next((o.value() for o in overrides if o.key_or_group == "resume"), None)
    if sweep:
        return _sweep(quoted_arguments, overrides, resume)
    if resume is not None and resume != "auto":
        return _resume(Path(str(resume)), overrides, locks)
    composed = compose_run(quoted_arguments)
    if resume == "auto" and belongs_to_a_run(composed.run_dir):
        return _resume_auto(composed.config, composed.run_dir, locks)
    check(composed.config)
    explicit = any(o.key_or_group in ("hydra.run.dir", "hydra.run") for o in overrides)
    folder = _reserve(composed.run_dir, explicit=explicit, locks=locks)
    fixed = [a for a in quoted_arguments if not a.lstrip("+").startswith("hydra.run.dir=")]
    return Start([*fixed, f"hydra.run.dir={quote(str(folder))}"], composed.config, folder)


def check(config: Config) -> None:
    """Everything that can be refused before a run folder is made.

    Raises:
        ValueError: If schedule or device do not fit the run or the machine.
        FileNotFoundError: If the data set is missing.
    """
    config.resolve_schedule()
    provide_data(config)
    from trainer import device  # torch takes seconds to import: last

    device.choose_precision(config.amp, device.choose_device(config.device))


def provide_data(config: Config) -> None:
    """Finds or downloads the data set."""
    if isinstance(config.data, Cifar10):
        option = config.data
        cifar10_files.provide(Path(option.root), option.download, option.url)


def _sweep(arguments: list[str], overrides: list[Override], resume: object) -> Sweep:
    if resume is not None:
        raise ValueError(f"resume={resume}: goes on with one run; leave out -m")
    configs: list[Config] = []
    for number, job in enumerate(jobs(overrides)):
        try:
            config = compose_run(job).config
            config.resolve_schedule()
        except ValueError as error:
            raise ValueError(f"job {number} ({' '.join(job)}): {error}") from error
        configs.append(config)
    for config in configs:
        check(config)
    return Sweep(arguments, len(configs))


def _resume(place: Path, overrides: list[Override], locks: contextlib.ExitStack) -> Resume:
    from trainer import checkpoint  # torch takes seconds; a mistyped argument answers without it

    for override in overrides:
        _check_resumable(override)
    if not place.exists():
        raise ValueError(f"resume={place}: there is no such run folder or checkpoint")
    commit = checkpoint.find(place)
    folder = commit.run_folder
    if commit.path.parent.name != checkpoint.FOLDER:
        raise ValueError(
            f"resume={place}: does not lie in a run folder; init={place} starts a new run from it"
        )
    _lock(folder, locks)
    config = _saved_config(commit.state["config"], overrides)
    provide_data(config)
    checkpoint.supersede(commit)
    return Resume(config, folder, commit)


def _resume_auto(config: Config, folder: Path, locks: contextlib.ExitStack) -> Start | Resume:
    from trainer import checkpoint

    _lock(folder, locks)
    commit = checkpoint.find(folder)
    provide_data(config)
    return Resume(config, folder.resolve(), commit)


def _check_resumable(override: Override) -> None:
    key, line = override.key_or_group, override.input_line
    if key in GROUP_NAMES or override.package is not None:
        raise ValueError(
            f"{line}: a resumed run keeps its {key}; init=<checkpoint> starts a new run from its "
            "weights"
        )
    if key.startswith("hydra."):
        raise ValueError(f"{line}: a resumed run goes on in its own folder, without Hydra")
    if override.is_sweep_override() or override.is_delete():
        raise ValueError(f"{line}: a resumed run takes plain key=value only")


def _saved_config(saved: dict[str, object], overrides: list[Override]) -> Config:
    """The configuration of the checkpoint with the values of the command line on top."""
    node = typed(saved)
    node.resume = None
    node.on_horizon_change = "error"  # a choice was for the change it was made for
    known = list(flat(saved))
    for override in overrides:
        key = override.key_or_group
        if key == "resume":
            continue
        if key not in known:
            raise ValueError(f"{override.input_line}: there is no key {key}{near(key, known)}")
        try:
            OmegaConf.update(node, key, override.value())
        except OmegaConfBaseException as error:
            raise ValueError(f"{override.input_line}: {str(error).splitlines()[0]}") from error
    return to_object(node)


def _lock(folder: Path, locks: contextlib.ExitStack) -> None:
    locks.enter_context(storage.locked(folder))


def _reserve(folder: Path, *, explicit: bool, locks: contextlib.ExitStack) -> Path:
    """A folder for a new run: as asked for, or with a suffix where a time stamp clashes."""
    for parent in (folder, *folder.parents):
        if parent.exists() and not parent.is_dir():
            raise NotADirectoryError(f"hydra.run.dir={folder}: {parent} is a file")
    candidate, number = folder.resolve(), 1
    while True:
        try:
            if not belongs_to_a_run(candidate):
                with contextlib.ExitStack() as attempt:
                    _lock(candidate, attempt)
                    if not belongs_to_a_run(candidate):  # it may have been one's that just ended
                        locks.push(attempt.pop_all())
                        return candidate
        except BlockingIOError:
            if explicit:
                raise
        if explicit:
            raise FileExistsError(
                f"hydra.run.dir={folder}: belongs to another run; resume={folder} goes on with it, "
                "another folder starts a new one"
            )
        number += 1
        candidate = folder.resolve().with_name(f"{folder.name}_{number}")


def belongs_to_a_run(folder: Path) -> bool:
    """Whether a run has committed in this folder, which it does before its first update."""
    return next(folder.glob(COMMITS), None) is not None
