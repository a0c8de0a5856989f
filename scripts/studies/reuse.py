"""Finished runs that count for the study: made, or proven to be what is made, by this code."""

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import __version__ as torch_version

from studies.training import first_row, train_first_epoch
from studies.wanted import Wanted
from trainer import device
from trainer.code_hash import code_sha256
from trainer.config import Config
from trainer.conversion import identity, to_object, typed
from trainer.report.discovery import find_runs

EXACT = ("train/loss", "train/accuracy", "test/loss", "test/accuracy", "lr")
THREADS = re.compile(r", (\d+) threads?$")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run of the study.

    Attributes:
        wanted: What it was wanted as.
        how: Why it counts: `run`, `hash`, `replay` or `unproven`.
        folder: Its run folder.
        summary: Its summary.json.
    """

    wanted: Wanted
    how: str
    folder: Path
    summary: dict[str, Any]


def reuse(wanted: Wanted, places: Sequence[Path], work: Path, *, prove: bool) -> Accepted | None:
    """A finished run that counts; None if there is none.

    Args:
        wanted: What is needed.
        places: Folders that are searched.
        work: Keeps what was proven.
        prove: Whether an older run must be proven; else it counts as unproven.
    """
    candidates = list(_candidates(wanted, places))
    for folder, summary in candidates:
        if _made_by_this_code(summary):
            return Accepted(wanted, "hash", folder, summary)
    for folder, summary in candidates:
        if not prove:
            return Accepted(wanted, "unproven", folder, summary)
        differs = _differs(wanted, folder, summary, work / "proofs.json")
        if differs is None:
            return Accepted(wanted, "replay", folder, summary)
        print(f"{wanted.name} seed {wanted.seed}: not {folder}: {differs}", flush=True)
    return None


def _candidates(wanted: Wanted, places: Sequence[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Finished runs with the same identity and length on the same kind of machine."""
    chosen = device.choose_device(wanted.config.device)
    precision = device.choose_precision(wanted.config.amp, chosen)
    here = _machine(device.describe(chosen))
    for place in places:
        if not place.exists():
            continue
        try:
            runs = find_runs([place])
        except ValueError:  # no run in it
            continue
        for folder, _ in runs:
            try:
                summary = json.loads((folder / "summary.json").read_text())
                saved = yaml.safe_load((folder / "config.yaml").read_text())
                config = to_object(typed(saved))  # a key that it does not have gets its default
            except (OSError, ValueError, KeyError, TypeError):
                continue
            same = identity(config) == identity(wanted.config)
            if not same or config.epochs != wanted.config.epochs or summary["status"] != "done":
                continue
            if _machine(summary["device"]) != here or summary["precision"] != precision:
                made = f"{summary['device']}, {summary['precision']}"
                print(f"not comparable: {folder}: made on {made}; here {here}, {precision}")
                continue
            yield folder, summary


def _machine(described: str) -> str:
    """A device without its threads: bits depend on them, the experiment does not."""
    return THREADS.sub("", described)


def _made_by_this_code(summary: dict[str, Any]) -> bool:
    same_torch = summary["versions"]["torch"] == torch_version
    return same_torch and summary.get("code") == code_sha256()


def _differs(wanted: Wanted, folder: Path, summary: dict[str, Any], proofs: Path) -> str | None:
    """What the present code makes otherwise, remembered in a file; None: nothing."""
    known = json.loads(proofs.read_text()) if proofs.exists() else {}
    question = f"{code_sha256()} torch {torch_version} {folder} {summary['seconds']}"
    if question not in known:
        known[question] = _differing_lr(wanted.config, folder) or _differing_epoch(
            wanted, folder, summary
        )
        proofs.write_text(json.dumps(known, indent=1))
    return known[question]


def _differing_lr(config: Config, folder: Path) -> str | None:
    """The first update whose LR the schedule gives differently today."""
    resolved = config.resolve_schedule()
    ((_, base),) = config.optimizer.base_lrs()
    recorded = (folder / "lr.csv").read_text().splitlines()[1:]
    expected = [f"{k},{resolved.lr(k, base)!r}" for k in range(resolved.updates)]
    if recorded == expected:
        return None
    pairs = zip(recorded, expected, strict=False)
    first = next((k for k, (old, new) in enumerate(pairs) if old != new), "the end")
    return f"its lr.csv differs from the schedule at update {first}"


def _differing_epoch(wanted: Wanted, folder: Path, summary: dict[str, Any]) -> str | None:
    """What differs between a run's first epoch and the same one trained now."""
    old = first_row(folder)
    if old is None or old["epoch"] != 1:
        return "its first epoch was not evaluated"
    print(f"{wanted.name} seed {wanted.seed}: training its first epoch again", flush=True)
    threads = THREADS.search(summary["device"])
    with tempfile.TemporaryDirectory() as place:
        again = Path(place, "again")
        last = train_first_epoch(wanted, again, threads and threads[1])
        new = first_row(again)
        if new is None:
            return f"the present code does not train it: {last}"
        made = json.loads((again / "summary.json").read_text())
    if made["data"] != summary["data"]:
        return "it was trained on other data"
    if made["device"] != summary["device"]:
        return f"made on {summary['device']}, which is not to be had here ({made['device']})"
    differing = [
        f"{key} was {old[key]!r}, is {new[key]!r}" for key in EXACT if old[key] != new[key]
    ]
    return f"epoch 1: {'; '.join(differing)}" if differing else None
