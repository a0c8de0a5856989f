"""What must not change between a run and its continuation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.config.fields import Config
from trainer.config.saved import identity, to_object, typed

# How every run computed before its fingerprint said so.
BEFORE = {"processes": 1}


def of_run(config: Config, *, precision: str, data_sha256: str, processes: int) -> dict[str, Any]:
    """What must not change between a run and its continuation, a flat table of plain values."""
    return identity(config) | {
        "precision": precision,
        "data.sha256": data_sha256,
        "processes": processes,
    }


def of_checkpoint(state: Mapping[str, Any]) -> dict[str, Any]:
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
