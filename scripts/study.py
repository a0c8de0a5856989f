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
import sys
from pathlib import Path

from studies.pages import write
from studies.reuse import Accepted, reuse
from studies.training import train
from studies.wanted import RUNS, Wanted, want

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
    add("--seeds", type=int, nargs="+", help="default: $SEEDS, or 0")
    add("--work", type=Path, default=Path("outputs/study"), help="default: %(default)s")
    add("--output", type=Path, default=ROOT / "docs/results/study", help="where to write")
    add("--no-run", action="store_true", help="report what is there")
    add("--unproven", action="store_true", help="take older runs unproven, say so")
    add("--only", nargs="+", choices=RUNS, metavar="NAME", help=f"of {', '.join(RUNS)}")
    add("--set", nargs="+", default=[], metavar="KEY=VALUE", help="for every run")
    flags = parser.parse_args()
    seeds = flags.seeds or [int(seed) for seed in os.environ.get("SEEDS", "0").split()]
    flags.work.mkdir(parents=True, exist_ok=True)
    accepted: list[Accepted] = []
    missing: list[str] = []
    for wanted in [want(n, seed, flags.set) for seed in seeds for n in flags.only or RUNS]:
        places = [*flags.folders, flags.work / "runs"]
        found = reuse(wanted, places, flags.work, prove=not flags.unproven)
        if found is None and not flags.no_run:
            found = run(wanted, flags.work / "runs" / wanted.label)
        if found is None:
            missing.append(f"{wanted.name} seed {wanted.seed}")
        else:
            accepted.append(found)
            print(f"{wanted.name} seed {wanted.seed}: {found.how}: {found.folder}", flush=True)
    if accepted:
        write(accepted, missing, flags.work / "accepted", flags.output)
    if missing:
        print(f"not there: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


def run(wanted: Wanted, folder: Path) -> Accepted | None:
    """Trains a run that is missing; None if it does not come to its end."""
    print(f"{wanted.name} seed {wanted.seed}: running in {folder}", flush=True)
    if code := train(wanted, folder):
        if code in (130, 143):
            sys.exit(code)
        return None
    return Accepted(wanted, "run", folder, json.loads((folder / "summary.json").read_text()))


if __name__ == "__main__":
    sys.exit(main())
