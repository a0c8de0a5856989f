"""What is in a checkpoint, where it lies, and when it is refused."""

import contextlib
import io
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainer.storage import files, run_folder

FORMAT = 1
KEYS = {
    "format",
    "model",
    "ema",
    "optimizer",
    "scheduler",
    "last_epoch",
    "scaler",
    "progress",
    "rng",
    "partial",
    "history",
    "config",
    "fingerprint",
    "environment",
    "lineage",
}
WHOLE = ("epoch", "step_in_epoch", "step")  # of the progress: numbers of epochs and steps
# What every row and point of the history has.
ROWS = {
    "rows": {"epoch", "step", "lr", "total_seconds", "time"},
    "points": {"step", "lr", "train/loss", "time"},
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified checkpoint.

    Attributes:
        path: The file.
        state: What it holds.
        damaged: Newer files that had to be passed over, an explanation each.
    """

    path: Path
    state: dict[str, Any]
    damaged: tuple[str, ...] = ()

    @property
    def run_folder(self) -> Path:
        """The folder of the run it belongs to."""
        return self.path.parent.parent


def save(
    folder: Path,
    state: dict[str, Any],
    step: int,
    *,
    keep_last: int,
    best: bool,
    kept: Container[int] = (),
) -> tuple[Path, int]:
    """Saves a state; from the return on it is what a resume finds.

    Args:
        folder: The run folder.
        state: Plain Python values and tensors.
        step: Completed steps.
        keep_last: Newest checkpoints that stay.
        kept: Steps of checkpoints that stay for good.
        best: Whether these are the best weights so far.

    Returns:
        The file and its size in bytes.

    Raises:
        OSError: If it cannot be written; older checkpoints are untouched.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = files.sealed(buffer.getvalue())
    path = run_folder.step_file(folder, step)
    files.make_folder(path.parent)
    # The step file comes last: it is what a resume goes by. A kill before it repeats the steps
    # since the checkpoint before, and they write the same two files again.
    if best:
        files.write(run_folder.best_file(folder), content)
    files.write(run_folder.last_file(folder), content)
    files.write(path, content)
    rotate(folder, step, keep_last, kept)
    return path, len(content)


def rotate(folder: Path, step: int, keep_last: int, kept: Container[int] = ()) -> None:
    """Removes all checkpoints but the newest up to a step; a newer one is damaged, and stays."""
    newest = run_folder.step_file(folder, step)
    rest = [path for path in run_folder.checkpoints(folder) if path <= newest][keep_last:]
    for old in [path for path in rest if run_folder.step_of(path) not in kept]:
        with contextlib.suppress(OSError):  # the next checkpoint tries again
            old.unlink()


def load(path: Path) -> dict[str, Any]:
    """A checkpoint's content, verified before it is parsed; nothing in it can run code.

    Raises:
        FileNotFoundError: If it is not there.
        DamagedFile: If it is not what was written, or not a checkpoint of this program.
        ValueError: If a newer program wrote it.
    """
    return parse(files.read_sealed(path), path)


def parse(content: bytes, path: Path) -> dict[str, Any]:
    """Like `load`, of verified bytes that came from a file."""
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign pickle can make it raise anything
        raise files.DamagedFile(
            f"{path}: cannot be read as a checkpoint: it holds more than plain values and tensors, "
            "and nothing in it was run"
        ) from error
    if not isinstance(state, dict) or "format" not in state:
        raise files.DamagedFile(f"{path}: is not a checkpoint of this program")
    if state["format"] != FORMAT:
        raise ValueError(
            f"{path}: has checkpoint format {state['format']}, this program reads {FORMAT}; "
            "use the version of trainer that wrote it"
        )
    state.setdefault("ema", None)  # older than the key
    state.setdefault("environment", {})  # the first versions did not note it
    state.setdefault("lineage", None)  # and did not fork
    if missing := KEYS - state.keys():
        raise files.DamagedFile(f"{path}: lacks {', '.join(sorted(missing))}")
    tables = ("model", "optimizer", "scheduler", "progress", "history", "config", "fingerprint")
    if state["ema"] is not None:
        tables = (*tables, "ema")
    if wrong := [key for key in tables if not isinstance(state[key], dict)]:
        raise files.DamagedFile(f"{path}: {wrong[0]} is not a table")
    state["history"].setdefault("momenta", torch.zeros(0))  # the first versions cycled none
    state["history"].setdefault("points", [])  # nor did they keep losses within an epoch
    if (reason := _malformed(state)) is not None:
        raise files.DamagedFile(f"{path}: {reason}")
    return state


def _malformed(state: Mapping[str, Any]) -> str | None:
    """What is not as this program writes it in the tables that every reader goes into."""
    for key in ("model", "ema"):
        values = (state[key] or {}).values()
        if not all(isinstance(value, torch.Tensor) for value in values):
            return f"{key} holds more than tensors"
    progress, history = state["progress"], state["history"]
    for key in WHOLE:
        if type(progress.get(key)) is not int or progress[key] < 0:
            return f"progress.{key} is no whole number"
    if not _is_number(progress.get("seconds")):
        return "progress.seconds is no number"
    for key in ("lrs", "momenta"):
        if not isinstance(history.get(key), torch.Tensor):
            return f"history.{key} is no tensor"
    if len(history["lrs"]) != progress["step"]:
        return f"history.lrs is of {len(history['lrs'])} steps, not of {progress['step']}"
    for key, names in ROWS.items():
        rows = history.get(key)
        if not isinstance(rows, list):
            return f"history.{key} is no list"
        for row in rows:
            table = isinstance(row, dict) and not names - row.keys()
            if not table or not all(map(_is_number, row.values())):
                wanted = ", ".join(sorted(names))
                return f"history.{key} holds one that is not {wanted} and other numbers"
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def find(place: Path) -> Checkpoint:
    """The checkpoint that a path means: a file, or the newest valid checkpoint of a run folder.

    Raises:
        FileNotFoundError: If nothing is there.
        DamagedFile: If the file, or every checkpoint of the folder, is damaged.
    """
    if place.is_file():
        try:
            return Checkpoint(place.resolve(), load(place))
        except files.DamagedFile as error:
            raise files.DamagedFile(f"{error}{_older(place)}") from error
    if place.name == run_folder.CHECKPOINTS:
        place = place.parent
    steps, last = run_folder.checkpoints(place), run_folder.last_file(place)
    # The copy of the newest checkpoint comes behind it: should that be damaged, nothing is lost.
    found = [*steps[:1], *([last] if last.exists() else []), *steps[1:]]
    if not found:
        raise FileNotFoundError(f"{place}: {_why_nothing(place)}")
    damaged: list[str] = []
    for path in found:
        try:
            return Checkpoint(path.resolve(), load(path), tuple(damaged))
        except files.DamagedFile as error:
            damaged.append(str(error))
        except OSError as error:
            damaged.append(f"{path}: {error.strerror}")
    best = run_folder.best_file(place)
    way_out = f"; init={best} starts a new run from the best weights" if best.exists() else ""
    raise files.DamagedFile(f"{place}: holds no whole checkpoint: {'; '.join(damaged)}{way_out}")


def _why_nothing(place: Path) -> str:
    if not place.exists():
        return "there is no such run folder or checkpoint"
    return f"is not a run folder: it holds no {run_folder.CHECKPOINTS}/step_*.pt"


def _older(place: Path) -> str:
    """What else the folder of a damaged file has to offer."""
    for path in run_folder.checkpoints(place.parent.parent):
        if path != place.resolve():
            try:
                load(path)
            except (files.DamagedFile, ValueError):
                continue
            command = run_folder.resume_command(place.parent.parent)
            return f"; {path} is whole: {command} takes the newest whole one"
    return ""


def supersede(kept: Checkpoint) -> list[Path]:
    """Makes a checkpoint the newest of its run: renames what is newer, puts its copies right.

    Called when nothing can refuse the resume any more.

    Returns:
        The checkpoints that were newer.
    """
    folder = kept.run_folder
    step = int(kept.state["progress"]["step"])
    own = run_folder.step_file(folder, step)
    if kept.path != own and not _whole(own):  # rotated away, or damaged
        files.write(own, kept.path.read_bytes())
    newer = [path for path in run_folder.checkpoints(folder) if run_folder.step_of(path) > step]
    for path in newer:
        files.rename(path, path.with_name(f"{path.name}{run_folder.SUPERSEDED}"))
    if newer:  # the best and the last of what is no longer to come
        files.write(run_folder.last_file(folder), own.read_bytes())
        best = run_folder.best_file(folder)
        if best.exists() and (not _whole(best) or load(best)["progress"]["step"] > step):
            files.rename(best, best.with_name(f"{best.name}{run_folder.SUPERSEDED}"))
    return newer


def _whole(path: Path) -> bool:
    try:
        files.read_sealed(path)
    except (OSError, files.DamagedFile):
        return False
    return True
