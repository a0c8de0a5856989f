"""Repeats the documents' comparison of schedules, reusing every run that still counts.

Usage: scripts/study [FOLDER...] [--seeds 0 1 2]

FOLDERs are searched for finished runs. A run counts for a configuration if it computes the same
(the keys that say where and how aside), has as many epochs, and every LR of its lr.csv is what the
schedule says today; and if it either was made by the present code (`code` in its summary.json) or
is proven to be what the present code makes: its first epoch is trained anew, on as many threads,
and has to give the same five numbers to the last bit. What is missing is run, in --work, and goes
on there if it was stopped.
"""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from studies.found import finished
from studies.pages import write
from studies.reuse import Accepted, Proofs, reuse
from studies.training import train
from studies.wanted import RUNS, Wanted, want

from trainer.cli.console import one_line

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Collects, proves, runs and reports; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folders", metavar="FOLDER", type=Path, nargs="*")
    add("--seeds", nargs="+", metavar="SEED", help="default: $SEEDS, or 0")
    add("--work", type=Path, default=Path("outputs/study"), help="default: %(default)s")
    add("--output", type=Path, default=ROOT / "docs/results/study", help="where to write")
    add("--no-run", action="store_true", help="train nothing: report what is there and proven")
    add("--unproven", action="store_true", help="take older runs unproven, say so")
    add("--only", nargs="+", choices=RUNS, metavar="NAME", help=f"of {', '.join(RUNS)}")
    add("--set", nargs="+", default=[], metavar="KEY=VALUE", help="for every run")
    flags = parser.parse_args()
    own = flags.work / "runs"
    try:
        wanted, runs = plan(flags), finished(flags.folders, own)
        flags.work.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        print(f"scripts/study: error: {one_line(error)}", file=sys.stderr)
        return 2
    proofs = Proofs(flags.work / "proofs.json", not flags.unproven, not flags.no_run)
    accepted: list[Accepted] = []
    missing: list[str] = []
    for each in wanted:
        counts = reuse(each, runs, proofs)
        if counts is None and not flags.no_run:
            counts = run(each, own / each.label, proofs)
        if counts is None:
            missing.append(f"{each.name} seed {each.seed}")
        else:
            accepted.append(counts)
            print(f"{each.name} seed {each.seed}: {counts.how}: {counts.run.folder}", flush=True)
    if accepted:
        write(accepted, missing, flags.work / "accepted", flags.output)
    if missing:
        print(f"not there, or not proven: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


def plan(flags: argparse.Namespace) -> list[Wanted]:
    """Every run that is needed, each once.

    Raises:
        ValueError: For a seed or a key that cannot be.
    """
    given = flags.seeds or (os.environ.get("SEEDS") or "0").split()
    for seed in given:
        if not seed.isdecimal():
            raise ValueError(f"seed {seed}: must be a whole number; --seeds 0 1 2, SEEDS='0 1 2'")
    seeds = dict.fromkeys(map(int, given))
    return [want(name, n, flags.set) for n in seeds for name in dict.fromkeys(flags.only or RUNS)]


def run(wanted: Wanted, folder: Path, proofs: Proofs) -> Accepted | None:
    """Trains a run that is missing; None if it does not come to its end, or is not what is wanted.

    A run of older code that lies in its folder goes on there, or is done: it has to count like any.
    """
    print(f"{wanted.name} seed {wanted.seed}: running in {folder}", flush=True)
    if code := train(wanted, folder):
        if code in (130, 143):
            sys.exit(code)
        return None
    counts = reuse(wanted, finished([folder]), proofs)
    if counts is None:
        print(f"{folder}: is another run; move it away to train this one anew", file=sys.stderr)
        return None
    return dataclasses.replace(counts, how="run") if counts.how == "hash" else counts


if __name__ == "__main__":
    sys.exit(main())
