"""A run that is killed again and again against one untouched, compared bit for bit."""

import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trainer.cli import console
from trainer.cli.forked import TrainerProcess
from trainer.storage import checkpoint, files, run_folder
from trainer.storage.comparison import compare_runs, digest, entries

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SHARE = 0.4  # of the training time that passes at most before a kill

STARTED: list[TrainerProcess] = []  # the one that runs; it must not outlive this command


class Failed(Exception):
    """A run did something else than train or be killed.

    Attributes:
        code: Its exit code.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Tally:
    """What has happened so far.

    Attributes:
        kills: Signals that ended a process, by name.
        runs: Runs trained to their end after at least one of them.
    """

    kills: Counter[str] = field(default_factory=Counter[str])
    runs: int = 0

    def __str__(self) -> str:
        """In words."""
        kills = ", ".join(f"{count} {name}" for name, count in sorted(self.kills.items()))
        return f"{self.kills.total()} kills ({kills or 'none'}) in {self.runs} runs"


def end() -> None:
    """Ends the run under way; it must not outlive the command."""
    for process in STARTED:
        process.kill(signal.SIGKILL)


def verify(
    overrides: Sequence[str], kills: int, seed: int, folder: Path, *, within: float | None = None
) -> bool:
    """Whether killed runs end as one that was never touched; prints what it finds.

    Args:
        overrides: The configuration.
        kills: How many processes are ended.
        seed: Draws when and how.
        folder: An empty one for the runs.
        within: Seconds of training that pass at most before a kill; None: a share of the run.

    Raises:
        Failed: If a run refuses or fails by itself.
    """
    command = [*overrides, "checkpoint.keep_last=1000000", "resume=auto"]
    console.say(f"training untouched: {' '.join(overrides) or 'the defaults'}", sys.stdout)
    seconds, begun = _untouched(command, folder, "untouched")
    reference = entries(checkpoint.find(folder / "untouched").state)
    console.say(
        f"  {seconds:.1f} s, content sha256 {digest(reference)}\nkilling, seed {seed}", sys.stdout
    )
    draw, tally = random.Random(seed), Tally()
    while tally.kills.total() < kills:
        name = f"killed_{tally.runs}"
        share = max(seconds - begun, 0.1) * SHARE
        longest = begun + (share if within is None else min(share, within))
        if not _killed_run(command, folder, name, draw, tally, kills, longest):
            shutil.rmtree(folder / name)
            seconds = begun + (seconds - begun) * 0.8  # it was over before: kill earlier
            continue
        tally.runs += 1
        difference = compare_runs(folder / "untouched", folder / name, complete=True)
        if difference is not None:
            console.say(f"different: {tally}: {name} at {difference}", sys.stdout)
            _second_untouched(command, folder)
            return False
        console.say(f"  identical after {tally}", sys.stdout)
        shutil.rmtree(folder / name)
    console.say(f"identical: {tally}; content sha256 {digest(reference)}", sys.stdout)
    return True


def _start(command: list[str], folder: Path, name: str) -> TrainerProcess:
    """The command as the user would type it here, with a run folder of its own."""
    arguments = [*command, f"hydra.run.dir={folder / name}"]
    process = TrainerProcess(arguments, Path.cwd(), printed=folder)
    STARTED[:] = [process]
    return process


def _untouched(command: list[str], folder: Path, name: str) -> tuple[float, float]:
    """Trains to the end; returns seconds in all and until the first checkpoint."""
    process = _start(command, folder, name)
    start, begun = time.perf_counter(), 0.0
    while process.code(0.02) is None:
        if not begun and run_folder.checkpoints(folder / name):
            begun = time.perf_counter() - start
    if (code := process.code()) != 0:
        raise Failed(process.err.rstrip() or f"the untouched run ended with {code}", code or 1)
    return time.perf_counter() - start, begun


def _killed_run(
    command: list[str],
    folder: Path,
    name: str,
    draw: random.Random,
    tally: Tally,
    kills: int,
    longest: float,
) -> bool:
    """One run to its end, killed on the way while there are kills left; whether it was."""
    before = tally.kills.total()
    while True:
        process = _start(command, folder, name)
        if tally.kills.total() < kills:
            number = draw.choice(SIGNALS)
            if process.code(draw.uniform(0, longest)) is None:
                process.kill(number)
        else:
            number = None
        code = process.code(None)
        if code == 0:
            return tally.kills.total() > before
        expected = () if number is None else (-number, 128 + number)
        if number is None or code not in expected:
            raise Failed(f"{process.err.rstrip()}\nfailed after {tally}, exit code {code}", 1)
        tally.kills[number.name] += 1
        _check_whole(folder / name)


def _check_whole(run: Path) -> None:
    for file in run_folder.all_checkpoints(run):
        files.read_sealed(file)


def _second_untouched(command: list[str], folder: Path) -> None:
    """Says whether the configuration repeats at all."""
    _untouched(command, folder, "untouched_again")
    again = compare_runs(folder / "untouched", folder / "untouched_again")
    if again is None:
        console.say("two untouched runs are identical: this is a fault in resuming", sys.stdout)
    else:
        console.say(
            f"two untouched runs differ too, at {again}: the configuration does not repeat on this "
            "machine (deterministic=true?)",
            sys.stdout,
        )
