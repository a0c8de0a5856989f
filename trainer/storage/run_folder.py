"""A run folder: every name in it, and what its files say from outside. Needs no torch.

Reading never fails: a file may be half written, damaged or hostile, and `notes` says so.
"""

import re
import shlex
from pathlib import Path
from typing import Any

from trainer.storage import records

CONFIG = "config.yaml"
SUMMARY = "summary.json"
METRICS = "metrics.jsonl"
STEPS = "steps.jsonl"
LR = "lr.csv"
TENSORBOARD = "tensorboard"
LOG = "trainer.log"
LOCK = ".lock"
HYDRA = ".hydra"
CHECKPOINTS = "checkpoints"
EVALUATION, EVALUATION_JSON = "evaluation", "evaluation.json"
EXPORT = "export"
SCREEN = "screen.log"  # what a job of a sweep printed
SWEEP = "sweep.json"  # in a sweep's folder, one above its runs

LOGS = (METRICS, STEPS, LR, CONFIG, TENSORBOARD)  # written anew from the checkpoint
# What a run leaves in its folder, the lock and the log aside: those two also come from a run that
# was refused.
RESULTS = (SUMMARY, *LOGS)
# Each of these says "a run was here", also of one that was refused before its first step.
MARKS = (SUMMARY, METRICS, STEPS, LR, LOG, HYDRA, CHECKPOINTS)
SUPERSEDED = ".superseded"  # behind the name of a checkpoint whose future was given up
LONGEST_NAME = 120  # of the 255 bytes that a file name may have
MARK = ".run"  # in the folder of a run's event files: others, of an evaluation, may lie beside it


def step_file(folder: Path, step: int) -> Path:
    """The checkpoint after `step` steps."""
    return folder / CHECKPOINTS / f"step_{step:08d}.pt"


def step_of(checkpoint: Path) -> int:
    """The completed steps that a checkpoint's name tells of."""
    return int(checkpoint.stem.removeprefix("step_"))


def best_file(folder: Path) -> Path:
    """The checkpoint of the best epoch so far."""
    return folder / CHECKPOINTS / "best.pt"


def last_file(folder: Path) -> Path:
    """The newest checkpoint once more."""
    return folder / CHECKPOINTS / "last.pt"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints after so many steps, newest first."""
    return sorted((folder / CHECKPOINTS).glob("step_" + "[0-9]" * 8 + ".pt"), reverse=True)


def all_checkpoints(folder: Path) -> list[Path]:
    """Every checkpoint, `best.pt` and `last.pt` included."""
    return sorted((folder / CHECKPOINTS).glob("*.pt"))


def belongs_to_a_run(folder: Path) -> bool:
    """Whether a run, or a sweep's run one folder down, has a checkpoint here.

    Every run does before its first step.
    """
    patterns = (f"{CHECKPOINTS}/*.pt", f"{CHECKPOINTS}/*{SUPERSEDED}", f"*/{CHECKPOINTS}/*.pt")
    return any(next(folder.glob(pattern), None) is not None for pattern in patterns)


def results(folder: Path) -> list[str]:
    """What a run has left in a folder; a place that was only named for its event files is none."""
    there = [name for name in RESULTS if (folder / name).exists()]
    events = [path.name for path in (folder / TENSORBOARD).rglob("*") if path.is_file()]
    return [name for name in there if name != TENSORBOARD or events != [MARK]]


def run_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in; None: it lies outside of one."""
    inside = checkpoint.absolute().parent
    return inside.parent if inside.name == CHECKPOINTS else None


def summary(folder: Path, notes: list[str] | None = None) -> dict[str, Any]:
    """What summary.json says; empty: nothing."""
    return records.read_json(folder / SUMMARY, [] if notes is None else notes)


def rows(folder: Path, notes: list[str] | None = None) -> list[dict[str, float]]:
    """The whole lines of metrics.jsonl, finite numbers only."""
    return records.read_rows(folder / METRICS, [] if notes is None else notes)


def status(folder: Path) -> str | None:
    """`running`, `done`, `stopped` or `failed`, by its summary; None: it has none."""
    value = summary(folder).get("status")
    return str(value) if value is not None else None


def seconds(folder: Path) -> float | None:
    """Seconds spent on the run, by its metrics; None: not evaluated yet."""
    found = rows(folder)
    return sum(row.get("seconds", 0.0) for row in found) if found else None


def last_row(folder: Path) -> dict[str, float]:
    """The newest row of metrics.jsonl; empty: not evaluated yet."""
    found = rows(folder)
    return found[-1] if found else {}


def name_events(run: Path, text: str) -> None:
    """Gives a run's event files a folder of that name; TensorBoard shows folders as names.

    Args:
        run: The run folder, before its first checkpoint.
        text: What sets the run apart; what a file name cannot hold becomes `_`.
    """
    readable = re.sub(r"[/\\\0-\x1f\x7f]", "_", text)[:LONGEST_NAME].strip(". ")
    if readable and not (run / TENSORBOARD).exists():
        (run / TENSORBOARD / readable).mkdir(parents=True)
        (run / TENSORBOARD / readable / MARK).touch()


def events(run: Path) -> Path:
    """The folder that a run's event files lie in, or are to lie in."""
    named = next((run / TENSORBOARD).glob(f"*/{MARK}"), None)
    return run / TENSORBOARD if named is None else named.parent


def resume_command(folder: Path) -> str:
    """What to paste to go on with a run."""
    return f"python -m trainer {shlex.quote(f'resume={folder}')}"
