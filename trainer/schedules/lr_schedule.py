"""The torch-compatible face of a schedule."""

import contextlib
import dataclasses
import hashlib
import operator
import struct
import warnings
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from trainer.schedules.horizon import CHOICES, Revision, first_difference, resolve_revised
from trainer.schedules.plateau_state import PlateauState
from trainer.schedules.schedule import ResolvedSchedule, Schedule


class LRSchedule(LRScheduler):
    """Sets an optimizer's LR for the next step, always recomputed from the position.

    Nothing is derived from the LR in force: no order of loading, no touched group bends the curve.

    Args:
        optimizer: Its groups' `initial_lr` (else `lr`) are the base LRs; a group added later
            takes part from the next step on.
        option: The schedule, e.g. `Cosine(eta_min=1e-5)`.
        steps_per_epoch: Steps in an epoch; 1 if `step` is called once per epoch.
        epochs: Planned length of the run in epochs.

    Raises:
        ValueError: If a parameter is out of range, or a length not a whole number.
    """

    # torch's constructor is left out: it wraps optimizer.step and takes a step itself.
    def __init__(  # pyright: ignore[reportMissingSuperCall]
        self, optimizer: Optimizer, option: Schedule, *, steps_per_epoch: int, epochs: int
    ) -> None:
        self.optimizer = optimizer
        self.option = option
        self.steps_per_epoch = _whole("steps_per_epoch", steps_per_epoch)
        self.updates = _whole("epochs", epochs) * self.steps_per_epoch
        self._bases: list[float] = []
        self.last_epoch = 0
        self.revisions: list[Revision] = []
        self.plateau_state = PlateauState()
        self.resolved = self._resolve(self.updates, self.revisions, self.plateau_state)
        self._hashed: tuple[object, str] | None = None
        self._write()

    def _resolve(
        self, updates: int, revisions: list[Revision], state: PlateauState
    ) -> ResolvedSchedule:
        return resolve_revised(
            self.option, self.steps_per_epoch, updates, revisions, plateau_state=state
        )

    def __getstate__(self) -> dict[str, Any]:
        """For a copy or a pickle: all but the functions, which the rest defines."""
        return {k: v for k, v in self.__dict__.items() if k not in ("resolved", "_hashed")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Makes the functions anew."""
        self.__dict__.update(state)
        self.resolved = self._resolve(self.updates, self.revisions, self.plateau_state)
        self._hashed = None

    @property
    def base_lrs(self) -> list[float | Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The base LR of each group."""
        for group in self.optimizer.param_groups[len(self._bases) :]:
            if "initial_lr" not in group:  # an LR on the device is not read for nothing
                group["initial_lr"] = float(group["lr"])
            self._bases.append(float(group["initial_lr"]))
        return [*self._bases]

    def lrs(self, k: int) -> list[float]:
        """The LR of each group in force for step `k` (0-based)."""
        return [self.resolved.lr(k, base) for base in self.base_lrs]

    def momentum(self, k: int) -> float | None:
        """The momentum in force for step `k`; None unless the schedule cycles it."""
        return None if self.resolved.momentum is None else self.resolved.momentum(k)

    def _write(self) -> None:
        self._last_lr: list[float | Any] = self.lrs(self.last_epoch)
        for group, lr in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            _set_lr(group, lr)
        if (momentum := self.momentum(self.last_epoch)) is not None:
            for group in self.optimizer.param_groups:
                _set_momentum(group, momentum)

    def start_at(self, step: int) -> None:
        """Stands at a step as if the ones before it had been made."""
        self.last_epoch = step
        self._write()

    def advance(self) -> None:
        """Moves on to the next step without writing: a captured step reads a table of LRs."""
        self.last_epoch += 1
        self._last_lr = self.lrs(self.last_epoch)

    def step(self, metrics: float | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Moves on to the next step and writes its LR into the optimizer.

        Args:
            metrics: The monitored value at the end of an epoch, for a plateau.
        """
        self.last_epoch += 1
        if metrics is not None:
            self.observe(metrics)
        self._write()

    def observe(self, metric: float) -> bool:
        """Shows a plateau the monitored value of the epoch that has just ended.

        Returns:
            Whether the LR of the next step was reduced. Always False without a plateau.
        """
        tracker = self.resolved.plateau
        if tracker is None:
            return False
        before = self.lrs(self.last_epoch)
        noted = len(self.resolved.notes.warnings)
        tracker.observe(float(metric), self.last_epoch)
        for line in self.resolved.notes.warnings[noted:]:
            warnings.warn(line, stacklevel=2)
        self._write()
        return self._last_lr != before

    def monitored(self, metrics: Mapping[str, float]) -> float | None:
        """The value that a plateau wants out of an epoch's metrics; None without a plateau.

        Raises:
            ValueError: If the run does not produce it.
        """
        tracker = self.resolved.plateau
        return None if tracker is None else tracker.option.monitored(metrics, tracker.key)

    def get_last_lr(self) -> list[float | Any]:
        """The LR of each group in force for the next step."""
        fresh = self.optimizer.param_groups[len(self._last_lr) :]
        return [*self._last_lr, *(float(group["lr"]) for group in fresh)]

    def get_lr(self) -> list[float | Any]:
        """The same as `get_last_lr`: unlike torch's, it never runs ahead."""
        return self.get_last_lr()

    def table_sha256(self) -> str:
        """SHA-256 over the LR of every step and group of the run, as float64, as it stands."""
        known = (self.resolved, len(self.plateau_state.reductions), len(self.base_lrs))
        if self._hashed is None or self._hashed[0] != known:
            digest = hashlib.sha256()
            for k in range(self.updates):
                digest.update(struct.pack(f"<{len(self._bases)}d", *self.lrs(k)))
            self._hashed = (known, digest.hexdigest())
        return self._hashed[1]

    def state_dict(self) -> dict[str, Any]:
        """Position, definition, counters and changes of length, in plain Python values."""
        return {
            "definition": dataclasses.asdict(self.option),
            "table_sha256": self.table_sha256(),
            "last_epoch": self.last_epoch,
            "base_lrs": self.base_lrs,
            "last_lr": [float(lr) for lr in self._last_lr],  # without groups just added
            "steps_per_epoch": self.steps_per_epoch,
            "updates": self.updates,
            "revisions": [revision.to_dict() for revision in self.revisions],
            "plateau": dataclasses.asdict(self.plateau_state),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on where the saved schedule stood, over the saved number of steps.

        Raises:
            ValueError: If this schedule is defined otherwise than the saved one, or gives another
                LR for any step; nothing was changed then.
        """
        _check_definition(state_dict["definition"], dataclasses.asdict(self.option), "scheduler")
        if state_dict["steps_per_epoch"] != self.steps_per_epoch:
            raise ValueError(
                f"scheduler: was saved with {state_dict['steps_per_epoch']} steps an epoch, "
                f"this run has {self.steps_per_epoch}"
            )
        bases = [float(base) for base in state_dict["base_lrs"]]
        groups = self.optimizer.param_groups
        if len(bases) != len(groups):
            raise ValueError(
                f"scheduler: was saved with {len(bases)} parameter groups, the optimizer has "
                f"{len(groups)}"
            )
        position, updates = int(state_dict["last_epoch"]), int(state_dict["updates"])
        revisions = [Revision(**revision) for revision in state_dict["revisions"]]
        state = PlateauState(**state_dict["plateau"])
        state.reductions = list(state.reductions)  # the saved state stays the caller's
        resolved = self._resolve(updates, revisions, state)
        lrs = [resolved.lr(position, base) for base in bases[: len(state_dict["last_lr"])]]
        if lrs != state_dict["last_lr"]:
            raise ValueError(
                f"scheduler: step {position} was saved with LR {state_dict['last_lr']}, this "
                f"schedule gives {lrs}"
            )
        before = self.__dict__.copy()
        self.last_epoch, self.updates, self._bases = position, updates, bases
        self.revisions, self.plateau_state, self.resolved = revisions, state, resolved
        if self.table_sha256() != state_dict["table_sha256"]:
            self.__dict__.update(before)
            raise ValueError(
                "scheduler: gives other LRs than the version that saved it, although it is "
                "defined alike; use that version of trainer to go on"
            )
        self._write()
        self._last_lr = [*lrs]
        for group, base in zip(groups[len(lrs) :], bases[len(lrs) :], strict=True):
            _set_lr(group, base)  # added before the state was saved, and not stepped since

    def change_epochs(self, epochs: int, choice: str) -> tuple[list[float], list[float]] | None:
        """Gives the run another length.

        Args:
            epochs: The new length in epochs.
            choice: One of `CHOICES`: what the curve does. `error`: it must not change up to the
                smaller end.

        Returns:
            The LRs of the next step before and after, or None where nothing was chosen.

        Raises:
            ValueError: If the curve would change and `choice` is `error`, or if a `tail` would
                leave the added epochs without an LR.
        """
        updates, bases = epochs * self.steps_per_epoch, self.base_lrs
        if updates == self.updates:
            return None
        at, before, revisions = self.last_epoch, self.resolved, self.revisions
        if choice != "error":
            revisions = [*revisions, self._revision(choice, updates)]
        after = self._resolve(updates, revisions, self.plateau_state)
        if choice == "error":
            k = first_difference(before, after, bases)
            if k is not None:
                raise ValueError(self._horizon_question(updates, k, after.lr(k, bases[0])))
        if choice == "tail" and updates > self.updates and not self._highest_left(after):
            raise ValueError(self._tail_from_zero(updates))
        lrs = [before.lr(at, base) for base in bases]
        self.updates, self.revisions, self.resolved = updates, revisions, after
        self._write()
        return None if choice == "error" else (lrs, self.lrs(at))

    def _revision(self, choice: str, updates: int) -> Revision:
        stairs = choice == "hold" and self.option.interval == "epoch"
        held = self.updates - self.steps_per_epoch if stairs else None
        return Revision(choice, self.last_epoch, self.updates, updates, held)

    def _highest_left(self, resolved: ResolvedSchedule) -> float:
        left = range(self.last_epoch, resolved.updates)
        return max(resolved.lr(k, base) for k in left for base in self._bases)

    def _tail_from_zero(self, updates: int) -> str:
        """Why a tail is refused, and what trains on instead: the highest LR first."""
        ways: list[tuple[float, str]] = []
        for name, text in CHOICES.items():
            revision = self._revision(name, updates)
            with contextlib.suppress(ValueError):  # a warm-up longer than the added epochs
                revised = self._resolve(updates, [*self.revisions, revision], self.plateau_state)
                if highest := self._highest_left(revised):
                    ways.append((highest, f"{name}: {text} (LR up to {highest:g})"))
        listed = "; ".join(words for _, words in sorted(ways, reverse=True))
        way_out = f"say one of {listed}" if ways else "init=<run folder> starts a new run from it"
        return (
            f"on_horizon_change=tail: the schedule has come to LR 0 and would stay there; {way_out}"
        )

    def _horizon_question(self, updates: int, k: int, new_lr: float) -> str:
        old_lr = self.resolved.lr(k, self._bases[0])
        old_epochs = self.updates // self.steps_per_epoch
        choices = "; ".join(f"{name}: {text}" for name, text in CHOICES.items())
        return (
            f"epochs={updates // self.steps_per_epoch}: the run was planned for {old_epochs} "
            f"epochs, and its schedule would change at step {k} (LR {old_lr:g} -> {new_lr:g}); "
            f"say on_horizon_change= one of {choices}"
        )


def _whole(name: str, value: int) -> int:
    try:
        number = operator.index(value)  # numpy's integers, too
    except TypeError:
        raise ValueError(f"{name}={value}: must be a whole number") from None
    if number < 1:
        raise ValueError(f"{name}={value}: must be at least 1")
    return number


def _check_definition(saved: Mapping[str, Any], current: Mapping[str, Any], key: str) -> None:
    """Raises ValueError, with key, saved and current value, for the first difference."""
    for name in sorted(saved.keys() | current.keys()):
        one, other = saved.get(name), current.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            _check_definition(one, other, f"{key}.{name}")
        elif one != other:
            raise ValueError(f"{key}.{name}={other}: was saved with {key}.{name}={one}")


def _set_lr(group: dict[str, Any], lr: float) -> None:
    if isinstance(group["lr"], float | int):
        group["lr"] = lr
    else:  # a tensor that a captured graph reads: its address must stay
        group["lr"].fill_(lr)


def _set_momentum(group: dict[str, Any], momentum: float) -> None:
    if "momentum" in group:
        group["momentum"] = momentum
    elif "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        raise ValueError("scheduler.cycle_momentum=true: the optimizer has no momentum to cycle")
