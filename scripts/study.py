"""Repeats the documents' comparison of schedules, reusing every run that still counts.

Usage: scripts/study [FOLDER...] [--seeds 0 1 2]

FOLDERs are searched for finished runs. A run counts for a configuration if it computes the same
(the keys that say where and how aside) and either was made by the present code (`code` in its
summary.json) or is proven to be what the present code makes: its first epoch is trained anew, on as
many threads, and has to give the same five numbers to the last bit, and every LR of its lr.csv has
to be what the schedule says today. What is missing is run, in --work, and goes on there if it was
stopped.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import __version__ as torch_version

from trainer import device
from trainer.arguments import compose_run, quote
from trainer.code_hash import code_sha256
from trainer.config import Config
from trainer.conversion import identity, to_object, typed
from trainer.report.discovery import find_runs
from trainer.report.screen import lines
from trainer.report.write import report

ROOT = Path(__file__).resolve().parent.parent
# The documents' eight curves; then document 003's two remarks: twice the batch, with the same LR
# and with one scaled along, and each of the two initial LRs under the other schedule.
RECIPES = {
    f"vgg_{name}": [f"experiment=vgg_{name}"]
    for name in (
        "constant",
        "steplr",
        "multistep",
        "exponential",
        "warmup_steplr",
        "warmup_multistep",
        "warmup_exponential",
        "warmup_cosine",
    )
}
REMARKS = {
    "vgg_exponential_batch256": ["experiment=vgg_exponential", "batch_size=256"],
    "vgg_exponential_batch256_lr0.08": [
        "experiment=vgg_exponential",
        "batch_size=256",
        "optimizer.lr=0.08",
    ],
    "vgg_steplr_lr0.04": ["experiment=vgg_steplr", "optimizer.lr=0.04"],
    "vgg_exponential_lr0.01": ["experiment=vgg_exponential", "optimizer.lr=0.01"],
}
SECTIONS = {
    "schedules": list(RECIPES),
    "batch_size": ["vgg_exponential", *list(REMARKS)[:2]],
    "initial_lr": ["vgg_steplr", "vgg_exponential", *list(REMARKS)[2:]],
}
EXACT = ("train/loss", "train/accuracy", "test/loss", "test/accuracy", "lr")


@dataclass(slots=True)
class Wanted:
    """A run that the study needs."""

    name: str
    seed: int
    overrides: list[str]
    config: Config


@dataclass(slots=True)
class Accepted:
    """A run of the study, and why it counts."""

    name: str
    seed: int
    how: str  # hash, replay, run, or unproven
    code: str | None
    device: str
    torch: str
    folder: str


def main() -> int:
    """Collects, proves, runs and reports; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, prog="scripts/study",
        formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=None, help="default: $SEEDS, or 0")
    parser.add_argument("--work", type=Path, default=Path("outputs/study"))
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results" / "study")
    parser.add_argument("--no-run", action="store_true", help="report what is there")
    parser.add_argument("--unproven", action="store_true", help="take older runs unproven, say so")
    parser.add_argument("--only", nargs="+", help="names of the runs, such as vgg_steplr")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="for every run")
    flags = parser.parse_args()
    seeds = flags.seeds or [int(seed) for seed in os.environ.get("SEEDS", "0").split()]
    flags.work.mkdir(parents=True, exist_ok=True)
    accepted: list[Accepted] = []
    missing: list[str] = []
    for seed in seeds:
        for name, overrides in (RECIPES | REMARKS).items():
            if flags.only and name not in flags.only:
                continue
            wanted = want(name, [*overrides, *flags.set], seed)
            places = [*flags.folders, flags.work]
            found = reuse(wanted, places, flags.work, prove=not flags.unproven)
            if found is None and not flags.no_run:
                found = run(wanted, flags.work / "runs" / f"{name}_seed{seed}")
            if found is None:
                missing.append(f"{name} seed {seed}")
            else:
                accepted.append(found)
                print(f"{name} seed {seed}: {found.how}: {found.folder}", flush=True)
    write(accepted, missing, flags.work / "accepted", flags.output)
    return 1 if missing else 0


def want(name: str, overrides: list[str], seed: int) -> Wanted:
    """A run of the study, composed and checked."""
    arguments = [*overrides, f"seed={seed}"]
    config = compose_run(arguments).config
    config.anchor()
    return Wanted(name, seed, arguments, config)


def reuse(wanted: Wanted, places: Sequence[Path], work: Path, *, prove: bool) -> Accepted | None:
    """A finished run that counts; None if there is none."""
    candidates = list(candidates_for(wanted, places))
    for folder, summary in candidates:
        if by_hash(summary):
            return accept(wanted, "hash", folder, summary)
    for folder, summary in candidates:
        if not prove:
            return accept(wanted, "unproven", folder, summary)
        reason = replay(wanted, folder, summary, work)
        if reason is None:
            return accept(wanted, "replay", folder, summary)
        print(f"{wanted.name} seed {wanted.seed}: not {folder}: {reason}", flush=True)
    return None


def accept(wanted: Wanted, how: str, folder: Path, summary: dict[str, Any]) -> Accepted:
    """The entry of a run that counts."""
    made_by = str(summary["versions"]["torch"])
    return Accepted(
        wanted.name, wanted.seed, how, code_sha256(), summary["device"], made_by, str(folder)
    )


def candidates_for(wanted: Wanted, places: Sequence[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Finished runs with the same identity and length on the same kind of machine."""
    want_identity = identity(wanted.config)
    for place in places:
        try:
            runs = find_runs([place])
        except ValueError:
            continue
        for folder, _ in runs:
            try:
                summary = json.loads((folder / "summary.json").read_text())
                saved = yaml.safe_load((folder / "config.yaml").read_text())
                config = to_object(typed(saved))  # a key that it does not have gets its default
            except (OSError, ValueError, KeyError, TypeError):
                continue
            same = identity(config) == want_identity and config.epochs == wanted.config.epochs
            if not same or summary.get("status") != "done":
                continue
            chosen = device.choose_device(wanted.config.device)
            precision = device.choose_precision(wanted.config.amp, chosen)
            here = machine(device.describe(chosen))
            if machine(summary["device"]) != here or summary["precision"] != precision:
                made = f"{summary['device']}, {summary['precision']}"
                print(f"not comparable: {folder}: made on {made}; here {here}, {precision}")
                continue
            yield folder, summary


def machine(described: str) -> str:
    """A device without its threads: bits depend on them, the experiment does not."""
    return re.sub(r", \d+ threads?$", "", described)


def by_hash(summary: dict[str, Any]) -> bool:
    """Whether the present code and torch made a run."""
    same = summary.get("code") is not None and summary["code"] == code_sha256()
    return same and summary["versions"]["torch"] == torch_version


def replay(wanted: Wanted, folder: Path, summary: dict[str, Any], work: Path) -> str | None:
    """Trains a run's first epoch with the present code; returns what differs, None if nothing."""
    digest = f"{code_sha256()} torch {torch_version} {folder} {summary['seconds']}"
    proofs = work / "proofs.json"
    known = json.loads(proofs.read_text()) if proofs.exists() else {}
    if digest not in known:
        known[digest] = differing_lr(wanted.config, folder) or differing_epoch(
            wanted, folder, summary
        )
        proofs.write_text(json.dumps(known, indent=1))
    return known[digest]


def differing_lr(config: Config, folder: Path) -> str | None:
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


def differing_epoch(wanted: Wanted, folder: Path, summary: dict[str, Any]) -> str | None:
    """What differs between a run's first epoch and the same one trained now."""
    threads = re.search(r", (\d+) threads?$", summary["device"])
    # Threads that sleep while they wait give the same numbers, and leave a busy machine alone.
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = threads[1]
    old = first_row(folder)
    if old is None or old["epoch"] != 1:
        return "its first epoch was not evaluated"
    print(f"{wanted.name} seed {wanted.seed}: training its first epoch again", flush=True)
    with tempfile.TemporaryDirectory() as place:
        again = Path(place, "again")
        code = train(wanted, again, environment, until_first_row=True)
        new = first_row(again)
        if new is None:
            return f"the present code does not train it (exit code {code})"
        made = json.loads((again / "summary.json").read_text())
    if made["data"] != summary["data"]:
        return "it was trained on other data"
    if made["device"] != summary["device"]:
        return f"made on {summary['device']}, which is not to be had here ({made['device']})"
    differing = [
        f"{key} was {old[key]!r}, is {new[key]!r}" for key in EXACT if old[key] != new[key]
    ]
    return f"epoch 1: {'; '.join(differing)}" if differing else None


def first_row(folder: Path) -> dict[str, Any] | None:
    """The first line of a run's metrics.jsonl."""
    path = folder / "metrics.jsonl"
    first, newline, _ = path.read_text().partition("\n") if path.exists() else ("", "", "")
    return json.loads(first) if newline else None


def train(
    wanted: Wanted, folder: Path, environment: dict[str, str], *, until_first_row: bool = False
) -> int:
    """`python -m trainer` for a run, in its own folder; returns the exit code."""
    arguments = [*wanted.overrides, f"name={wanted.name}", f"hydra.run.dir={quote(str(folder))}"]
    arguments += ["resume=auto", "log.progress=lines"]
    command = [sys.executable, "-m", "trainer", *arguments]
    if not until_first_row:
        return subprocess.run(command, env=environment, check=False).returncode
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None and first_row(folder) is None:
            time.sleep(0.1)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    return process.wait()


def run(wanted: Wanted, folder: Path) -> Accepted | None:
    """Trains a run that is missing; None if it does not come to its end."""
    print(f"{wanted.name} seed {wanted.seed}: running in {folder}", flush=True)
    if code := train(wanted, folder, dict(os.environ)):
        if code in (130, 143):
            sys.exit(code)
        return None
    return accept(wanted, "run", folder, json.loads((folder / "summary.json").read_text()))


def write(accepted: list[Accepted], missing: list[str], place: Path, output: Path) -> None:
    """A report for each section, the raw metrics, and a page that says where they are from."""
    shutil.rmtree(place, ignore_errors=True)
    text = ["# The study", ""]
    for section, names in SECTIONS.items():
        there = [entry for entry in accepted if entry.name in names]
        if section != "schedules" and not any(entry.name in REMARKS for entry in there):
            continue  # what it asks about is not there yet
        for entry in there:
            link = place / section / f"{entry.name}_seed{entry.seed}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(entry.folder).resolve(), target_is_directory=True)
        if not (place / section).exists():
            continue
        folder = output if section == "schedules" else output / section
        shown = ["outputs/study/accepted/" + section, "--output", f"docs/results/study/{section}"]
        if section == "schedules":
            shown[-1] = "docs/results/study"
        said = lines(report([place / section], folder, arguments=shown))
        for entry in there:  # where a run happened to lie is nobody's business
            table = folder / "report.csv"
            own = str(Path(entry.folder).resolve())
            table.write_text(table.read_text().replace(own, f"{entry.name}_seed{entry.seed}"))
        print("\n".join(said), flush=True)
        where = "report.md" if section == "schedules" else f"{section}/report.md"
        text += [f"## {section} ([report]({where}))", "", "```", *said[:-2], "```", ""]
    raw = output / "metrics"
    raw.mkdir(parents=True, exist_ok=True)
    text += ["## Runs", "", "| run | seed | test | train | counts by | made on |"]
    text += ["| --- | ---: | ---: | ---: | --- | --- |"]
    for entry in accepted:
        metrics = Path(entry.folder, "metrics.jsonl")
        shutil.copy(metrics, raw / f"{entry.name}_seed{entry.seed}.jsonl")
        last = json.loads(metrics.read_text().splitlines()[-1])
        text.append(
            f"| {entry.name} | {entry.seed} | {last['test/accuracy']:.2%} "
            f"| {last['train/accuracy']:.2%} | {entry.how} | {entry.device}, torch {entry.torch} |"
        )
    text += ["", "`hash`: the present code made it. `replay`: older code did; the present code"]
    text += [
        "trained its first epoch again, equal to the last bit, and gives every LR of its lr.csv."
    ]
    text += [
        "`run`: trained for this. `unproven`: older code made it, and nothing was checked yet."
    ]
    text += [f"Present code: {code_sha256()}.", ""]
    if missing:
        text += [f"Not there yet: {', '.join(missing)}.", ""]
    (output / "study.md").write_text("\n".join(text))
    entries = [
        {key: value for key, value in asdict(e).items() if key != "folder"} for e in accepted
    ]
    (output / "runs.json").write_text(json.dumps(entries, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
