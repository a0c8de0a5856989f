"""Where a run's TensorBoard files lie; a job of a sweep has a folder that says what it is."""

import re
from pathlib import Path

FOLDER = "tensorboard"
LONGEST = 120  # of the 255 bytes that a file name may have
MARK = ".run"  # other folders may lie beside it: of an evaluation, say


def name(run: Path, text: str) -> None:
    """Gives a run's event files a folder of that name; TensorBoard shows folders as names.

    Args:
        run: The run folder, before its first commit.
        text: What sets the run apart; what a file name cannot hold becomes `_`.
    """
    readable = re.sub(r"[/\\\0-\x1f\x7f]", "_", text)[:LONGEST].strip(". ")
    if readable and not (run / FOLDER).exists():
        (run / FOLDER / readable).mkdir(parents=True)
        (run / FOLDER / readable / MARK).touch()


def find(run: Path) -> Path:
    """The folder that a run's event files lie in, or are to lie in."""
    named = next((run / FOLDER).glob(f"*/{MARK}"), None)
    return run / FOLDER if named is None else named.parent
