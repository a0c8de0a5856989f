"""Finished runs as their files tell of them, which may be damaged or somebody else's."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from trainer.config.fields import Config
from trainer.config.saved import to_object, typed
from trainer.report.read import find_runs
from trainer.storage import run_folder
from trainer.storage.records import read_yaml


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that came to its end.

    Attributes:
        folder: Its run folder.
        config: Its configuration; a key that it does not have got its default.
        rows: A row per evaluated epoch.
        summary: What else its files say: `seconds`, `device`, `precision`, `torch`, `data`, and
            `code`, the hash of the code that made it, None where that is not known.
    """

    folder: Path
    config: Config
    rows: list[dict[str, float]]
    summary: Mapping[str, Any]


def finished(folders: Sequence[Path], own: Path | None = None) -> list[Finished]:
    """The finished runs in some folders; what cannot be read is named and left out.

    Args:
        folders: Folders with runs.
        own: One more, which may still be without.

    Raises:
        ValueError: If one of `folders` is missing or holds no run.
    """
    places = [folder.resolve() for folder, _ in find_runs(folders)]
    if own is not None and own.is_dir():
        with contextlib.suppress(ValueError):  # nothing was made yet
            places += [folder.resolve() for folder, _ in find_runs([own])]
    runs: list[Finished] = []
    for folder in dict.fromkeys(places):
        try:
            run = read(folder)
        except ValueError as error:
            print(f"left out: {folder}: {error}", flush=True)
        else:
            runs += [] if run is None else [run]
    return runs


def read(folder: Path) -> Finished | None:
    """A run; None if it is not finished.

    Raises:
        ValueError: If a file of it is damaged; names the file.
    """
    notes: list[str] = []
    summary = run_folder.summary(folder, notes)
    if not notes and summary.get("status") != "done":
        return None
    saved = read_yaml(folder / run_folder.CONFIG, notes)
    rows = run_folder.rows(folder, notes)
    if notes:
        raise ValueError(notes[0])
    try:
        config = to_object(typed(saved))
    except (OmegaConfBaseException, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{run_folder.CONFIG}: {str(error).splitlines()[0]}") from error
    try:
        known = {key: str(summary[key]) for key in ("device", "precision")}
        known |= {"seconds": float(summary["seconds"]), "torch": str(summary["versions"]["torch"])}
        known |= {"code": summary.get("code"), "data": summary["data"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{run_folder.SUMMARY}: cannot be used: {error!r}") from error
    return Finished(folder, config, rows, known)
