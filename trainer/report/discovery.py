"""Where the run folders are."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainer.storage.records import plain
from trainer.storage.run_folder import MARKS

DEPTH = 3


def find_runs(places: Sequence[Path]) -> list[tuple[Path, str]]:
    """The run folders that the given folders are or contain, each once, in natural order.

    Args:
        places: Run folders, sweep folders, or folders with run folders at most 3 levels down.

    Returns:
        Each folder, and what to call it in the report.

    Raises:
        ValueError: If a folder is missing or holds no run; names it.
    """
    found: dict[Path, str] = {}
    for place in places:
        if not place.exists():
            raise ValueError(f"{plain(place)}: there is no such folder")
        if not place.is_dir():
            raise ValueError(f"{plain(place)}: is a file; name a run folder or a sweep folder")
        runs = list(_below(place, DEPTH))
        if not runs:
            raise ValueError(
                f"{plain(place)}: holds no run folder, up to {DEPTH} levels down; a run folder "
                f"has one of {', '.join(MARKS)}"
            )
        name = place.resolve().name
        for run in runs:
            inner = run.relative_to(place).as_posix()
            several = len(places) > 1 and inner != "."
            called = f"{name}/{inner}" if several else name if inner == "." else inner
            found.setdefault(run.resolve(), plain(called))
    return list(found.items())


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if any((folder / mark).exists() for mark in MARKS):
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
