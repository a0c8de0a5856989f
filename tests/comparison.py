"""What must be equal between a run that was never touched and one that was."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from trainer import checkpoint

TIMES = ("seconds", "images_per_second", "time", "total_seconds")


def state(folder: Path) -> dict[str, Any]:
    """The newest checkpoint, flat, without clocks and places."""
    found = checkpoint.find(folder).state
    flat: dict[str, Any] = {}
    _flatten(found, "", flat)
    return {
        key: value
        for key, value in flat.items()
        if key.rpartition("/")[2] not in TIMES and not key.startswith("/config")
    }


def _flatten(value: Any, key: str, result: dict[str, Any]) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _flatten(inner, f"{key}/{name}", result)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            _flatten(inner, f"{key}/{number}", result)
    elif isinstance(value, torch.Tensor):
        result[key] = (value.dtype, tuple(value.shape), value.contiguous().numpy().tobytes())
    else:
        result[key] = value


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl without clocks."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def events(folder: Path) -> list[tuple[str, int, float]]:
    """Every (tag, step, value) of all raw event files, by TensorBoard's own reader."""
    points: list[tuple[str, int, float]] = []
    for file in sorted((folder / "tensorboard").iterdir()):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if "speed/" not in value.tag and value.tag != "seconds":
                    points.append((value.tag, event.step, value.tensor.float_val[0]))
    return points


def assert_equal_runs(one: Path, other: Path) -> None:
    a, b = state(one), state(other)
    assert a.keys() == b.keys()
    differing = [key for key in a if a[key] != b[key]]
    assert not differing, differing
    assert metrics(one) == metrics(other)
    assert (one / "lr.csv").read_bytes() == (other / "lr.csv").read_bytes()
    assert events(one) == events(other)
    assert len({point[:2] for point in events(one)}) == len(events(one))
