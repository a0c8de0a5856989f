"""What must be equal between a run that was never touched and one that was."""

from pathlib import Path
from typing import Any

from trainer.storage import checkpoint
from trainer.storage.comparison import compare_runs, entries, events, metrics

__all__ = ["assert_equal_runs", "events", "metrics", "state"]


def state(folder: Path) -> dict[str, Any]:
    """The newest checkpoint, flat, without clocks and places."""
    return entries(checkpoint.find(folder).state)


def assert_equal_runs(one: Path, other: Path) -> None:
    assert (difference := compare_runs(one, other)) is None, difference
