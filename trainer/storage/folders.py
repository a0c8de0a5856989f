"""How a run or a sweep takes a folder for itself."""

import contextlib
import os
from pathlib import Path

from trainer.storage import run_folder
from trainer.storage.files import locked


def check_writable(folder: Path) -> None:
    """Makes nothing: what writes there at its end finds out before it begins.

    Raises:
        NotADirectoryError: If a file stands in the way.
        PermissionError: If it can neither be written to nor made.
    """
    whole = folder.absolute()
    there = next(place for place in (whole, *whole.parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"{folder}: {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder}: {there} cannot be written to")


def reserve(folder: Path, key: str, *, explicit: bool, locks: contextlib.ExitStack) -> Path:
    """Takes a folder for something new.

    Args:
        folder: What was asked for.
        key: The key that names it, for messages.
        explicit: The user named it; otherwise it is a time stamp, and a clash gets a suffix.
        locks: Gets the folder's lock.

    Raises:
        NotADirectoryError: If a file stands in the way.
        FileExistsError: If the folder belongs to another run, or holds files of the same names.
        BlockingIOError: If another process works in it.
        ValueError: If it cannot be made.
    """
    for parent in (folder, *folder.parents):
        if parent.exists() and not parent.is_dir():
            raise NotADirectoryError(f"{key}={folder}: {parent} is a file")
    candidate, number = folder.resolve(), 1
    while True:
        try:
            if (reason := _taken(candidate)) is None:
                with contextlib.ExitStack() as attempt:
                    attempt.enter_context(locked(candidate))
                    # Once more: it may have been a run's that has just ended.
                    if (reason := _taken(candidate)) is None:
                        locks.push(attempt.pop_all())
                        return candidate
            if explicit:
                raise FileExistsError(f"{key}={folder}: {reason}")
        except BlockingIOError:
            if explicit:
                raise
        except (PermissionError, FileNotFoundError) as error:
            raise ValueError(f"{key}={folder}: cannot be made: {error.strerror}") from error
        number += 1
        candidate = folder.resolve().with_name(f"{folder.name}_{number}")


def _taken(folder: Path) -> str | None:
    """Why a folder cannot be a new run's; None: it can."""
    if run_folder.belongs_to_a_run(folder):
        command = run_folder.resume_command(folder)
        return f"belongs to another run; {command} goes on with it, another folder starts a new one"
    if found := run_folder.results(folder):
        return f"holds {', '.join(found)}, which a run would overwrite; choose another folder"
    return None
