"""Reading files that may be half written, damaged or hostile: what is there, and what is not."""

import json
import math
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 64_000_000  # of a file that is read whole
LOG_TAIL = 65_536  # bytes at the end of a log that are searched
DEEPEST = 50  # brackets in brackets of a configuration
LONGEST = 400  # characters of a text that come into a report


def plain(value: object) -> str:
    """A text from a file in one line, without control characters and of bounded length."""
    kept = "".join(
        " " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c
        for c in str(value)[: 4 * LONGEST]
        if unicodedata.category(c) not in ("Cf", "Cs", "Co", "Cn")
    )
    line = " ".join(kept.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def read_text(path: Path, notes: list[str]) -> str | None:
    """A file's text; None, with a note unless it is merely absent, if there is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            notes.append(f"{path.name} is larger than {MOST_BYTES // 1_000_000} MB: not read")
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        notes.append(f"{path.name} cannot be read: {error.strerror}")
        return None


def read_json(path: Path, notes: list[str]) -> dict[str, Any]:
    """A JSON object; empty, with a note unless the file is absent, if it is none."""
    return _mapping(path, json.loads, notes)


def read_yaml(path: Path, notes: list[str]) -> dict[str, Any]:
    """A YAML mapping of plain values; nothing in it can run code."""
    return _mapping(path, _safe_yaml, notes)


def read_overrides(path: Path) -> list[str]:
    """The overrides that Hydra wrote down; empty if it did not."""
    text = read_text(path, [])
    try:
        values = _safe_yaml(text or "")
    except (ValueError, RecursionError):
        return []
    return [plain(value) for value in values] if isinstance(values, list) else []


def _mapping(path: Path, parse: Any, notes: list[str]) -> dict[str, Any]:
    text = read_text(path, notes)
    if text is None:
        return {}
    try:
        values = parse(text)
    except (ValueError, RecursionError):
        notes.append(f"{path.name} is damaged: not read")
        return {}
    if not isinstance(values, Mapping):
        notes.append(f"{path.name} is damaged: not read")
        return {}
    return {str(key): value for key, value in values.items()}


def _safe_yaml(text: str) -> Any:
    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            # A few lines of aliases can stand for gigabytes, and brackets in brackets take hours.
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > DEEPEST:
                raise ValueError("is not what a run writes")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError("is not YAML") from error


def read_rows(path: Path, notes: list[str]) -> list[dict[str, float]]:
    """The rows of metrics.jsonl, finite numbers only; a broken last line is one under way."""
    lines = [line for line in (read_text(path, notes) or "").split("\n") if line.strip()]
    rows: list[dict[str, float]] = []
    for number, line in enumerate(lines, 1):
        try:
            row = numbers(json.loads(line))
        except (ValueError, RecursionError):
            row = {}
        if "epoch" in row and "step" in row:
            rows.append(row)
        elif number == len(lines):
            notes.append(f"the last line of {path.name} is incomplete: left out")
        else:
            notes.append(f"line {number} of {path.name} is damaged: left out")
    return rows


def numbers(values: object) -> dict[str, float]:
    """The entries of a mapping that are finite numbers."""
    if not isinstance(values, Mapping):
        return {}
    return {str(key): float(value) for key, value in values.items() if is_number(value)}


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and math.isfinite(value)


def last_error(path: Path) -> str | None:
    """The last error that a trainer.log tells of: its message, without the traceback."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    starts = [n for n, line in enumerate(lines) if _level(line)]
    for start, end in reversed(list(zip(starts, [*starts[1:], len(lines)], strict=True))):
        if _level(lines[start]) in ("ERROR", "CRITICAL"):
            messages = [
                x for x in lines[start + 1 : end] if x.strip() and not x.startswith((" ", "\t"))
            ]
            if messages and not messages[-1].startswith("Traceback"):
                return plain(messages[-1].partition(": ")[2] or messages[-1])
            return plain(lines[start].split(" ", 3)[3])
    return None


def _level(line: str) -> str | None:
    """The level of a log line `<date> <time> <level> <message>`; None for other lines."""
    words = line.split(" ", 3)
    known = ("INFO", "WARNING", "ERROR", "CRITICAL")
    return words[2] if len(words) == 4 and words[0][:4].isdigit() and words[2] in known else None
