"""Finished runs that count for the study: made, or proven to be what is made, by this code."""

import itertools
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import __version__ as torch_version

from studies.found import Finished
from studies.training import train_first_epoch
from studies.wanted import Wanted
from trainer.config.fields import Config
from trainer.config.sameness import identity
from trainer.storage import files, run_folder
from trainer.storage.records import read_json, read_text
from trainer.training import device
from trainer.training.code_hash import code_sha256

EXACT = ("train/loss", "train/accuracy", "test/loss", "test/accuracy", "lr")
THREADS = re.compile(r", (\d+) threads?$")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run of the study.

    Attributes:
        wanted: What it was wanted as.
        how: Why it counts: `run`, `hash`, `replay` or `unproven`.
        run: The run.
    """

    wanted: Wanted
    how: str
    run: Finished


@dataclass(frozen=True, slots=True)
class Proofs:
    """How runs of older code are proven.

    Attributes:
        path: File that remembers what was found.
        needed: Whether an older run must be proven; else it counts as unproven.
        train: Whether to train the first epoch of one that the file does not know.
    """

    path: Path
    needed: bool
    train: bool


def reuse(wanted: Wanted, runs: Sequence[Finished], proofs: Proofs) -> Accepted | None:
    """A finished run that counts; None if there is none.

    Args:
        wanted: What is needed.
        runs: Those that there are.
        proofs: How those of older code are proven.
    """
    candidates: list[Finished] = []
    for run in runs:
        if identity(run.config) != identity(wanted.config):
            continue
        if (differs := _another(wanted, run)) is None:
            candidates.append(run)
        else:
            _refuse(wanted, run, differs)
    for run in candidates:
        if (run.summary["torch"], run.summary["code"]) == (torch_version, code_sha256()):
            return Accepted(wanted, "hash", run)
    for run in candidates:
        if not proofs.needed:
            return Accepted(wanted, "unproven", run)
        if (differs := _differs(wanted, run, proofs)) is None:
            return Accepted(wanted, "replay", run)
        _refuse(wanted, run, differs)
    return None


def _refuse(wanted: Wanted, run: Finished, why: str) -> None:
    print(f"{wanted.name} seed {wanted.seed}: not {run.folder}: {why}", flush=True)


def _another(wanted: Wanted, run: Finished) -> str | None:
    """Why a run is not the one wanted although its configuration computes the same; None: it is.

    A resume may change the length, the schedule with it and an early end, and `init` is asked for
    once: of all that the configuration's identity says nothing.
    """
    if run.config.init is not None:
        return "it began with the weights of another run (init)"
    epochs = int(run.rows[-1]["epoch"]) if run.rows else 0
    if epochs != wanted.config.epochs:
        return f"it ended with epoch {epochs}, not {wanted.config.epochs}"
    if any(key not in row for row in run.rows for key in EXACT):
        return f"its metrics.jsonl lacks one of {', '.join(EXACT)}"
    chosen = device.choose_device(wanted.config.device)
    here = _machine(device.describe(chosen)), device.choose_precision(wanted.config.amp, chosen)
    made = run.summary["device"], run.summary["precision"]
    if (_machine(made[0]), made[1]) != here:
        return f"made on {', '.join(made)}; here {', '.join(here)}"
    return _differing_lr(wanted.config, run.folder)


def _machine(described: str) -> str:
    """A device without its threads: bits depend on them, the experiment does not."""
    return THREADS.sub("", described)


def _differing_lr(config: Config, folder: Path) -> str | None:
    """The first step whose LR the schedule gives differently today."""
    resolved = config.resolve_schedule()
    bases = [base for _, base in config.optimizer.base_lrs()]
    recorded = (read_text(folder / run_folder.LR, []) or "").splitlines()[1:]
    expected = [
        ",".join([str(k), *(repr(resolved.lr(k, base)) for base in bases)])
        for k in range(resolved.updates)
    ]
    if recorded == expected:
        return None
    pairs = enumerate(itertools.zip_longest(recorded, expected))
    first = next(k for k, (old, new) in pairs if old != new)
    return f"its lr.csv differs from the schedule at step {first}"


def _differs(wanted: Wanted, run: Finished, proofs: Proofs) -> str | None:
    """What the present code makes otherwise, remembered in a file; None: nothing."""
    known = read_json(proofs.path, [])
    question = f"{code_sha256()} torch {torch_version} {run.folder} {run.summary['seconds']}"
    if question not in known:
        if not proofs.train:
            return "not proven: older code made it; without --no-run its first epoch is trained"
        known[question] = _differing_epoch(wanted, run)
        files.write_text(proofs.path, json.dumps(known, indent=1))
    return known[question]


def _differing_epoch(wanted: Wanted, run: Finished) -> str | None:
    """What differs between a run's first epoch and the same one trained now."""
    old, where = run.rows[0], run.summary["device"]
    if old["epoch"] != 1:
        return "its first epoch was not evaluated"
    print(f"{wanted.name} seed {wanted.seed}: training its first epoch again", flush=True)
    threads = THREADS.search(where)
    with tempfile.TemporaryDirectory() as place:
        again = Path(place, "again")
        last = train_first_epoch(wanted, again, threads and threads[1])
        rows = run_folder.rows(again)
        if not rows:
            return f"the present code does not train it: {last}"
        made = run_folder.summary(again)
    if made["data"] != run.summary["data"]:
        return "it was trained on other data"
    if made["device"] != where:
        return f"made on {where}, which is not to be had here ({made['device']})"
    differing = [
        f"{key} was {old[key]!r}, is {rows[0][key]!r}" for key in EXACT if old[key] != rows[0][key]
    ]
    return f"epoch 1: {'; '.join(differing)}" if differing else None
