"""Finished runs that many tests look at, each trained once in a test process."""

import shutil
from pathlib import Path

from processes import TINY, train


class StandardRuns:
    """Runs of `TINY`, by the overrides that set them apart. No test changes one: it takes a copy.

    Args:
        place: Where they lie.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.made: dict[tuple[str, ...], Path] = {}

    def of(self, *overrides: str, base: list[str] = TINY) -> Path:
        """The folder of a run that was trained to its end, by a process of its own."""
        arguments = (*base, *overrides)
        if arguments not in self.made:
            folder = self.place / str(len(self.made))
            folder.mkdir()
            train([*arguments, "hydra.run.dir=run"], folder)
            self.made[arguments] = folder / "run"
        return self.made[arguments]

    def copy(self, folder: Path, *overrides: str) -> Path:
        """A copy of one, to be changed; a symbolic link in it stays one."""
        return shutil.copytree(self.of(*overrides), folder, symlinks=True)


def contents(folder: Path, *left_out: str) -> dict[Path, bytes]:
    """Every file below a folder, but the lock and some names: what must not have changed."""
    names = (".lock", *left_out)
    files = (file for file in folder.rglob("*") if file.is_file() and file.name not in names)
    return {file: file.read_bytes() for file in files}
