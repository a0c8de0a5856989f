"""Run folders read: where they are, and what their files tell. Whatever is missing is left out."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any, TextIO

from trainer.config.fields import MOST_UPDATES
from trainer.options.keys import flat
from trainer.report.runs import Curve, Row, Run
from trainer.storage import records, run_folder
from trainer.storage.records import is_number, plain

DEPTH = 3  # folders in folders
STATUSES = ("done", "running", "stopped", "paused", "failed")
MOST_POINTS = 1000  # of an LR curve
MADE_WITH = {  # and where summary.json says so
    "device": "device",
    "precision": "precision",
    "torch": "versions.torch",
    "torchvision": "versions.torchvision",
    "python": "versions.python",
    "trainer": "versions.trainer",
    "data": "data.sha256",
    "commit": "git",
}


def find_runs(places: Sequence[Path]) -> list[tuple[Path, str]]:
    """The run folders that the given folders are or contain, each once, in natural order.

    Args:
        places: Run folders, sweep folders, or folders with run folders at most 3 levels down.

    Returns:
        Each folder, and what to call it in the report.

    Raises:
        ValueError: If a folder is missing or holds no run; names it.
    """
    found: dict[Path, tuple[Path, str]] = {}
    for place in places:
        if not place.exists():
            raise ValueError(f"{plain(place)}: there is no such folder")
        if not place.is_dir():
            raise ValueError(f"{plain(place)}: is a file; name a run folder or a sweep folder")
        runs = list(_below(place, DEPTH))
        if not runs:
            raise ValueError(
                f"{plain(place)}: holds no run folder, up to {DEPTH} levels down; a run folder "
                f"has one of {', '.join(run_folder.MARKS)}"
            )
        name = place.resolve().name
        for run in runs:
            inner = run.relative_to(place).as_posix()
            several = len(places) > 1 and inner != "."
            called = f"{name}/{inner}" if several else name if inner == "." else inner
            found.setdefault(run.resolve(), (run, plain(called)))
    return list(found.values())


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if any((folder / mark).exists() for mark in run_folder.MARKS):
        yield folder
    elif depth:
        try:
            children = [c for c in folder.iterdir() if c.is_dir() and not c.name.startswith(".")]
        except PermissionError:
            return
        for child in sorted(children, key=_natural):
            yield from _below(child, depth - 1)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts 2 before 10."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def read_run(folder: Path, place: str) -> Run:
    """Reads what there is in a run folder.

    Args:
        folder: The run folder.
        place: What to call it.
    """
    notes: list[str] = []
    summary = run_folder.summary(folder, notes)
    config = records.read_yaml(folder / run_folder.CONFIG, notes)
    rows = _rows(folder, summary, notes)
    run = Run(folder=folder, place=place, rows=rows, notes=notes)
    run.settings = _settings(config, summary)
    name = config.get("name", summary.get("name"))
    run.name = plain(name) if name else None
    run.overrides = records.read_overrides(folder / run_folder.HYDRA / "overrides.yaml")
    run.command = _command(summary, run.overrides)
    run.trial = _trial(folder)
    val = any(key.startswith("val/") for row in rows for key in row) or bool(
        run.settings.get("data.val_size")
    )
    run.split = "val" if val else "test"
    run.error = plain(summary["error"]) if summary.get("error") else None
    run.error = run.error or records.last_error(folder / run_folder.LOG)
    run.status = _status(folder, summary, run)
    run.seconds = records.numbers(summary).get("seconds")
    if run.status != "done" and rows and "elapsed" in rows[-1]:
        run.seconds = rows[-1]["elapsed"]  # the summary is as old as the start
    run.tested = {w: records.numbers(summary.get(f"test_{w}")) for w in ("last", "best")}
    run.lr = read_curve(folder / run_folder.LR)
    run.made_with = _made_with(summary)
    run.changed = _changed(folder)
    return run


def _rows(folder: Path, summary: Mapping[str, Any], notes: list[str]) -> list[Row]:
    rows = run_folder.rows(folder, notes)
    last = records.numbers(summary.get("last"))
    if "epoch" in last and "step" in last and last["epoch"] > (rows[-1]["epoch"] if rows else 0):
        notes.append(f"{run_folder.METRICS} lacks the last epoch: taken from {run_folder.SUMMARY}")
        rows.append(last)
    known = takewhile(lambda row: "seconds" in row, rows)
    for row, elapsed in zip(rows, accumulate(row["seconds"] for row in known), strict=False):
        row["elapsed"] = elapsed
    return rows


def _branched(settings: dict[str, Any]) -> dict[str, Any]:
    """A fork by the schedule it went on with and where it left which one, not by both in a list."""
    phases = settings.get("scheduler.phases")
    if not settings.get("fork") or not isinstance(phases, list) or len(phases) != 2:
        return settings
    past, rest = phases
    try:
        left, inner = f"{past['schedule']['name']}@{past['length']}", dict(rest["schedule"])
    except (TypeError, KeyError, ValueError):  # not as this program writes it
        return settings
    kept = {k: v for k, v in settings.items() if not k.startswith("scheduler.")}
    return kept | {"forked_from": left} | flat(inner, "scheduler.")


def _settings(config: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    if config:
        return {plain(key): value for key, value in _branched(flat(config)).items()}
    fingerprint = summary.get("fingerprint")
    settings = (
        {plain(k): v for k, v in fingerprint.items()} if isinstance(fingerprint, Mapping) else {}
    )
    if settings and summary.get("status") == "done" and is_number(summary.get("epochs")):
        settings["epochs"] = summary["epochs"]  # no part of the fingerprint: a resume may change it
    return settings


def _status(folder: Path, summary: Mapping[str, Any], run: Run) -> str:
    status = summary.get("status")
    if status in STATUSES:
        return str(status)
    if not summary and not run.rows and not run_folder.all_checkpoints(folder):
        run.error = run.error or "left no result and no error: refused, killed, or just starting"
        return "failed"
    return "unknown"


def _command(summary: Mapping[str, Any], overrides: list[str]) -> str:
    words = summary.get("command")
    if isinstance(words, list) and words:
        return shlex.join(map(plain, words))
    return shlex.join(["python", "-m", "trainer", *overrides]) if overrides else ""


def _trial(folder: Path) -> int | None:
    """The number of a search's job; its folder is called so."""
    sweep = records.read_json(folder.resolve().parent / run_folder.SWEEP, [])
    # Sweeps of version 0.1 say it with a direction.
    searched = sweep.get("search") or sweep.get("direction")
    return int(folder.name) if searched and folder.name.isdecimal() else None


def _made_with(summary: Mapping[str, Any]) -> dict[str, str]:
    known = flat(summary)
    return {name: plain(known[key]) for name, key in MADE_WITH.items() if known.get(key)}


def _changed(folder: Path) -> float | None:
    times: list[float] = []
    for name in (run_folder.LOG, run_folder.METRICS, run_folder.SUMMARY, run_folder.LR):
        try:
            times.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def read_curve(path: Path) -> Curve | None:
    """Steps and LRs of a run, at most 1000 of them; None if there are none.

    Of each stretch of steps the lowest and the highest LR are kept, so that peaks and edges stay
    where they are. With several parameter groups it is the group with the highest first LR.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            points = list(_points(file))
    except OSError:
        return None
    size = -(-len(points) // (MOST_POINTS // 2)) if len(points) > MOST_POINTS else 1
    kept = [p for n in range(0, len(points), size) for p in _ends(points[n : n + size])]
    return ([k for k, _ in kept], [lr for _, lr in kept]) if kept else None


def _points(file: TextIO) -> Iterator[tuple[int, float]]:
    """Each whole line's step and LR."""
    column: int | None = None
    for line in file:
        cells = line.rstrip("\n").split(",")
        try:
            step, lrs = int(cells[0]), [float(cell) for cell in cells[1:]]
        except ValueError:
            continue  # the heading, or a line that is being written
        if not 0 <= step < MOST_UPDATES or not lrs or not all(map(is_number, lrs)):
            continue
        if column is None:
            column = max(range(len(lrs)), key=lrs.__getitem__)
        if column < len(lrs):
            yield step, lrs[column]


def _ends(stretch: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Lowest and highest LR; of a level stretch both ends: a line must not look like a slope."""
    lowest = min(stretch, key=lambda point: point[1])
    highest = max(stretch, key=lambda point: point[1])
    return sorted({lowest, highest} if lowest[1] != highest[1] else {stretch[0], stretch[-1]})
