"""What the arguments of a run ask for: a new one or one that goes on, checked before any work."""

import contextlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.override_parser.types import Override

from trainer.cli.launch import Launch
from trainer.config.fields import Config
from trainer.config.forked import forked, parse_fork, position
from trainer.config.overrides import Composed, compose_run, given
from trainer.config.resumed import check_resumable, saved_config
from trainer.config.sameness import changeable
from trainer.storage import files, folders, run_folder
from trainer.storage.run_folder import resume_command

if TYPE_CHECKING:
    from trainer.storage.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Start:
    """A new run. Its folder is reserved: locked, and no other run's."""

    composed: Composed
    folder: Path
    parent: "Checkpoint | None" = None  # of a fork

    @property
    def config(self) -> Config:
        """The run."""
        return self.composed.config


@dataclass(frozen=True, slots=True)
class Resume:
    """A run that goes on in its own folder, which is locked."""

    config: Config
    folder: Path
    resumed: "Checkpoint"


def begin(
    arguments: Sequence[str], overrides: list[Override], locks: contextlib.ExitStack
) -> Start | Resume:
    """Decides what the arguments ask for and refuses what cannot be, before any work starts.

    Args:
        arguments: Quoted overrides.
        overrides: The same, parsed.
        locks: Gets the lock of the run's folder.

    Raises:
        ValueError: In one line, for an argument or a value that cannot be.
        FileNotFoundError: If the data set or the checkpoint is missing.
        BlockingIOError: If another process works in the folder.
    """
    for override in overrides:
        if override.key_or_group == "search" and override.value() is not None:
            raise ValueError(f"{override.input_line}: is for a sweep; add -m")
    resume = resume_value(overrides)
    if resume is not None and resume != "auto":
        return _resume(Path(resume), overrides, locks)
    composed, parent = compose_run(arguments), None
    goes_on = resume == "auto" and run_folder.belongs_to_a_run(composed.run_dir)
    if composed.config.fork is not None:
        if goes_on:  # its own folder knows the rest, wherever the parent is now
            own = [o for o in overrides if o.key_or_group in changeable(composed.config) - {"fork"}]
            return _resume(composed.run_dir, own, locks)
        parent = _parent(composed.config.fork)
        composed = forked(parent, composed, overrides)
    elif goes_on:
        return _resume_auto(composed.config, composed.run_dir, locks)
    check([composed.config])
    composed.config.anchor()
    explicit = given(overrides, "hydra.run.dir")
    folder = folders.reserve(composed.run_dir, "hydra.run.dir", explicit=explicit, locks=locks)
    return Start(composed, folder, parent)


def _parent(fork: str) -> "Checkpoint":
    """The checkpoint that `fork` starts from.

    Raises:
        ValueError: If there is none of that step; names those that are kept.
        FileNotFoundError: If there is no such run.
    """
    from trainer.storage import checkpoint  # torch takes seconds

    place, _ = parse_fork(fork)
    newest = checkpoint.find(place)
    step = position(fork, newest.state["config"], newest.path)
    if step is None or step == newest.state["progress"]["step"]:
        return newest
    path = run_folder.step_file(newest.run_folder, step)
    if place.is_file() or not path.exists():
        steps = [run_folder.step_of(kept) for kept in run_folder.checkpoints(newest.run_folder)]
        raise ValueError(
            f"fork={fork}: step {step} is not kept; kept are {', '.join(map(str, sorted(steps)))} "
            f"(fork={newest.run_folder}@<n>steps); checkpoint.keep_at keeps more"
        )
    return checkpoint.find(path)


def check(configs: Sequence[Config]) -> None:
    """Everything that can be refused before a folder is made.

    Raises:
        ValueError: If schedule, device or parameter groups do not fit the run or the machine.
        FileNotFoundError: If the data set or the `init` checkpoint is missing.
    """
    launch = Launch.from_environment()
    for config in configs:
        check_processes(config)
        config.resolve_schedule()
    for config in configs:
        config.data.provide()
    from trainer.models.build import parameters_of
    from trainer.optimizers.build import parameter_groups
    from trainer.storage import checkpoint
    from trainer.training import device  # torch takes seconds to import: last

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


def check_processes(config: Config) -> None:
    """Whether a run can be dealt out to the processes that the launcher started.

    Raises:
        ValueError: If not; names the key.
    """
    processes = Launch.from_environment().processes
    if processes == 1:
        return
    parts = processes * config.accumulate
    if config.batch_size % parts:
        each = f" of {config.accumulate} micro-batches each" if config.accumulate > 1 else ""
        raise ValueError(
            f"batch_size={config.batch_size}: cannot be dealt out evenly to {processes} "
            f"processes{each}; it must be a multiple of {parts}"
        )
    last = config.data.training_images() % config.batch_size
    if last % parts and not config.data.drop_last:
        raise ValueError(
            f"data.drop_last=false: the last batch of an epoch has {last} images, which "
            f"{processes} processes cannot share evenly; data.drop_last=true leaves it out"
        )
    if ":" in config.device:
        raise ValueError(
            f"device={config.device}: {processes} processes take a GPU each; use device=cuda"
        )


def resume_value(overrides: Sequence[Override]) -> str | None:
    """What `resume=` says; None: a new run."""
    values = [override.value() for override in overrides if override.key_or_group == "resume"]
    if len(values) > 1:
        raise ValueError("resume: is given more than once")
    if not values or values[0] is None:
        return None
    value = str(values[0])
    if not value:
        raise ValueError("resume=: is empty; name a run folder or a checkpoint")
    for key in ("init", "fork"):
        if value != "auto" and given(overrides, key):
            raise ValueError(f"{key}: starts a new run and cannot stand beside resume")
    return value


def _resume(place: Path, overrides: list[Override], locks: contextlib.ExitStack) -> Resume:
    for override in overrides:
        check_resumable(override)
    if not place.exists():
        run = run_folder.run_of(place)
        rotated = run is not None and run_folder.belongs_to_a_run(run)
        way_out = f"; {resume_command(run)} goes on from the newest" if run and rotated else ""
        raise ValueError(f"resume={place}: there is no such run folder or checkpoint{way_out}")
    if (place / run_folder.SWEEP).is_file():
        raise ValueError(
            f"resume={place}: is a sweep's folder; to go on with it: python -m trainer.sweep retry "
            f"{shlex.quote(str(place))}"
        )
    inside = run_folder.run_of(place if place.is_file() else place / "any")
    folder = (inside or place).resolve()
    if (place.is_file() and inside is None) or not run_folder.belongs_to_a_run(folder):
        way_out = f"; init={place} starts a new run from it" if files.is_sealed(place) else ""
        raise ValueError(f"resume={place}: is not a run folder or a checkpoint in one{way_out}")
    locks.enter_context(files.locked(folder))  # before reading: its last owner may still save
    from trainer.storage import (
        checkpoint,  # torch takes seconds; a mistyped argument answers without it
    )

    resumed = checkpoint.find(place)
    config = saved_config(resumed, overrides)
    check_processes(config)
    config.resolve_schedule()
    config.data.provide()
    return Resume(config, folder, resumed)


def _resume_auto(config: Config, folder: Path, locks: contextlib.ExitStack) -> Resume:
    locks.enter_context(files.locked(folder))
    from trainer.storage import checkpoint

    check_processes(config)
    resumed = checkpoint.find(folder)
    config.anchor()
    config.data.provide()
    return Resume(config, folder.resolve(), resumed)
