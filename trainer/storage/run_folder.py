"""What a run folder says from outside, while its run may be going on; needs no torch."""

import fcntl
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

# The system's `struct flock`, and which of its fields is the kind of lock.
FLOCK = ("hhqqi4x", 0) if sys.platform == "linux" else ("qqihh", 3)


def status(folder: Path) -> str | None:
    """`running`, `done`, `stopped` or `failed`, by its summary; None: it has none."""
    value = _summary(folder).get("status")
    return str(value) if value is not None else None


def monitored(folder: Path) -> str | None:
    """The metric that its best weights were chosen by; None: its summary does not say."""
    best = _summary(folder).get("best")
    return str(best["monitor"]) if isinstance(best, dict) and "monitor" in best else None


def seconds(folder: Path) -> float | None:
    """Seconds spent on the run, by the newest row of its metrics; None: not evaluated yet."""
    rows = _rows(folder)
    return sum(row.get("seconds", 0.0) for row in rows) if rows else None


def last_row(folder: Path) -> dict[str, float]:
    """The newest row of metrics.jsonl; empty: not evaluated yet."""
    rows = _rows(folder)
    return rows[-1] if rows else {}


def in_use(folder: Path) -> bool:
    """Whether another process on this machine holds the folder; asks without taking it.

    Not for the process that holds it: closing the file would release its lock.
    """
    try:
        descriptor = os.open(folder / ".lock", os.O_RDONLY)
    except OSError:
        return False
    layout, kind = FLOCK
    asked = [0] * 5  # from the beginning, to the end, whoever it is
    asked[kind] = fcntl.F_WRLCK
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(layout, *asked))
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return struct.unpack(layout, answer)[kind] != fcntl.F_UNLCK


def _summary(folder: Path) -> dict[str, Any]:
    try:
        entries = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _rows(folder: Path) -> list[dict[str, float]]:
    """The numbers of each whole line of metrics.jsonl; its last one may be half written."""
    try:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []
    rows: list[dict[str, float]] = []
    for line in lines:
        try:
            row = json.loads(line, parse_int=float)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            numbers = {key: value for key, value in row.items() if isinstance(value, float)}
            rows += [numbers] if "epoch" in numbers else []
    return rows
