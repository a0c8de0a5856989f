"""Copies the small files of finished runs, for committing: no checkpoint, no path of a machine.

Usage: python scripts/keep_run.py RUN... TARGET
"""

import json
import sys
from pathlib import Path

import yaml

from trainer.storage import run_folder

PLACES = ("hydra.run.dir=", "hydra.sweep.dir=", "data.root=")


def keep(run: Path, target: Path) -> bool:
    """Copies config, summary, metrics and LRs of a run that is done; whether it is."""
    summary = run_folder.summary(run)
    if summary.get("status") != "done":
        return False
    target.mkdir(parents=True, exist_ok=True)
    summary["command"] = [w for w in summary["command"] if not w.startswith(PLACES)]
    (target / run_folder.SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
    config = yaml.safe_load((run / run_folder.CONFIG).read_text())
    if "root" in config["data"]:
        config["data"]["root"] = "data"
    (target / run_folder.CONFIG).write_text(yaml.safe_dump(config, sort_keys=False))
    for name in (run_folder.METRICS, run_folder.LR):
        (target / name).write_bytes((run / name).read_bytes())
    return True


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    *runs, place = map(Path, sys.argv[1:])
    for each in runs:
        print(f"{each.name}: {'kept' if keep(each, place / each.name) else 'is not done'}")
