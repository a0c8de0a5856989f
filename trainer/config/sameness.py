"""When two runs are the same: what a field changes decides it, and a field says so by its mark."""

import dataclasses
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from trainer.config.fields import GROUPS, Config
from trainer.config.run_options import CheckpointOptions, EarlyStoppingOptions, LogOptions
from trainer.config.saved import to_object, typed
from trainer.options.keys import flat
from trainer.options.marks import ASKED, CHANGES, WHERE

# How every run computed before its fingerprint said so.
BEFORE = {"processes": 1}


def _marked(marks: Container[object], options: Mapping[str, Iterable[Any]]) -> set[str]:
    """The keys with one of these marks, of a run and of the options given for each group."""
    places: dict[str, Iterable[Any]] = {
        "": [Config],
        "checkpoint.": [CheckpointOptions],
        "early_stopping.": [EarlyStoppingOptions],
        "log.": [LogOptions],
    }
    places |= {f"{group}.": chosen for group, chosen in options.items()}
    return {
        f"{place}{field.name}"
        for place, chosen in places.items()
        for option in chosen
        for field in dataclasses.fields(option)
        if field.metadata.get(CHANGES) in marks
    }


def _without(config: Config, *marks: str) -> dict[str, Any]:
    left_out = _marked(marks, {group: [getattr(config, group)] for group in GROUPS})
    return {k: v for k, v in flat(config.to_dict()).items() if k not in left_out}


def identity(config: Config) -> dict[str, Any]:
    """What a configuration computes, as a flat table: a resumed run keeps it."""
    return _without(config, WHERE, ASKED)


def experiment(config: Config) -> dict[str, Any]:
    """What was asked for, as a flat table: what it computes, its end, precision and start."""
    return _without(config, WHERE)


def changeable(config: Config) -> set[str]:
    """Keys that a resumed or forked run may change."""
    return _marked((WHERE, ASKED), {group: [getattr(config, group)] for group in GROUPS})


def circumstances() -> set[str]:
    """Keys that say where and how a run is carried out, of all options that are known."""
    return _marked([WHERE], {group: options.values() for group, options in GROUPS.items()})


def fingerprint(
    config: Config, *, precision: str, data_sha256: str, processes: int
) -> dict[str, Any]:
    """What must not change between a run and its continuation, a flat table of plain values."""
    return identity(config) | {
        "precision": precision,
        "data.sha256": data_sha256,
        "processes": processes,
    }


def saved_fingerprint(state: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's fingerprint; a key that is newer than the checkpoint has its default.

    Raises:
        ValueError: If the saved configuration is not one of this version.
    """
    saved = {key: value for key, value in state["fingerprint"].items() if key != "engine"}
    return BEFORE | saved | identity(to_object(typed(state["config"])))


def check(
    saved: Mapping[str, Any],
    current: Mapping[str, Any],
    path: Path,
    *,
    other_processes: bool = False,
) -> None:
    """Raises ValueError, with key, saved and current value, for the first difference.

    Args:
        saved: The checkpoint's.
        current: The run's that is to go on.
        path: The checkpoint.
        other_processes: Whether another number of processes may go on.
    """
    before, now = saved.get("processes"), current.get("processes")
    if before != now and not other_processes:
        raise ValueError(
            f"processes: the run was trained by {before}, and goes on bit for bit with {before} "
            f"only; on_process_change=continue goes on with {now}, within rounding"
        )
    for key in sorted((saved.keys() | current.keys()) - {"processes"}):
        if saved.get(key) != current.get(key):
            raise ValueError(
                f"{key}={_plain(current.get(key))}: the run was trained with "
                f"{key}={_plain(saved.get(key))} and cannot go on with another; "
                f"init={path} starts a new run from its weights"
            )


def _plain(value: object) -> object:
    return "null" if value is None else value
