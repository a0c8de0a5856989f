"""What a run folder says from outside, while its run may be going on; needs no torch."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any


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
    return sum(float(row.get("seconds", 0.0)) for row in rows) if rows else None


def last_row(folder: Path) -> dict[str, Any]:
    """The newest row of metrics.jsonl; empty: not evaluated yet."""
    rows = _rows(folder)
    return rows[-1] if rows else {}


def in_use(folder: Path) -> bool:
    """Whether a process on this machine holds the folder."""
    try:
        descriptor = os.open(folder / ".lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _summary(folder: Path) -> dict[str, Any]:
    try:
        entries = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _rows(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl; its last one may be half written."""
    try:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    rows: list[dict[str, Any]] = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
