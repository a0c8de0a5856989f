"""Runs many small jobs in one process and draws its memory, open files and time after each.

Usage: python scripts/sweep_resources.py [--jobs 100] [--output docs/results]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from matplotlib.figure import Figure

from trainer.cli.plot import save

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path("/proc/self/statm")


class Probe(Callback):
    """Measures the process after each job of a sweep."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.start = (time.perf_counter(), time.process_time())

    def on_job_start(self, **settings: Any) -> None:
        """Starts the clocks."""
        self.start = (time.perf_counter(), time.process_time())

    def on_job_end(self, **settings: Any) -> None:
        """Writes a line."""
        pages = int(PAGE.read_text().split()[1])
        row = {
            "rss_mib": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2),
            "open_files": len(os.listdir("/proc/self/fd")),
            "threads": len(os.listdir("/proc/self/task")),
            "seconds": round(time.perf_counter() - self.start[0], 3),
            "cpu_seconds": round(time.process_time() - self.start[1], 3),
        }
        with open(self.output, "a") as file:
            file.write(json.dumps(row) + "\n")


def measure(jobs: int, overrides: list[str]) -> list[dict[str, float]]:
    """A row per job of one sweep in one process."""
    with tempfile.TemporaryDirectory() as place:
        rows = Path(place, "rows")
        arguments = ["-m", f"seed=range({jobs})", *overrides, f"hydra.sweep.dir={place}/sweep"]
        arguments += ["+hydra.callbacks.probe._target_=sweep_resources.Probe"]
        arguments += [f"+hydra.callbacks.probe.output={rows}"]
        path = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
        subprocess.run(
            [sys.executable, "-m", "trainer", *arguments],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return [json.loads(line) for line in rows.read_text().splitlines()]


def main() -> int:
    """Measures, draws, writes; returns 1 if memory or open files grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results")
    flags = parser.parse_args()
    rows = measure(flags.jobs, ["data=synthetic", "epochs=1", "data.train_size=256"])
    flags.output.mkdir(parents=True, exist_ok=True)
    (flags.output / "sweep_resources.json").write_text(json.dumps(rows, indent=0) + "\n")
    draw(rows, flags.output / "sweep_resources.png")
    text = summary(rows)
    (flags.output / "sweep_resources.md").write_text(text)
    print(text)
    tenth = max(1, len(rows) // 10)
    last = rows[-tenth:]
    settled = rows[tenth : 2 * tenth]
    grown = mean(last, "rss_mib") > 1.02 * mean(settled, "rss_mib")
    return int(grown or last[-1]["open_files"] > settled[0]["open_files"])


def mean(rows: list[dict[str, float]], key: str) -> float:
    """The mean of a column."""
    return sum(row[key] for row in rows) / len(rows)


def summary(rows: list[dict[str, float]]) -> str:
    """What was measured, in a table."""
    shown = [0, 1, 9, 24, 49, 74, 99]
    lines = [
        f"# {len(rows)} jobs in one process",
        "",
        "`python -m trainer -m data=synthetic epochs=1 data.train_size=256 "
        f"'seed=range({len(rows)})'`, measured after each job by `scripts/sweep_resources.py`:",
        "",
        "![memory, open files and seconds](sweep_resources.png)",
        "",
        "| job | resident memory (MiB) | open files | threads | seconds | CPU seconds |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for number in [n for n in shown if n < len(rows)]:
        row = rows[number]
        lines.append(
            f"| {number} | {row['rss_mib']:.0f} | {row['open_files']} | {row['threads']} "
            f"| {row['seconds']:.2f} | {row['cpu_seconds']:.2f} |"
        )
    rest = sorted(row["seconds"] for row in rows[1:])
    lines += ["", f"After the first a job took {rest[len(rest) // 2]:.2f} s (median), at most "]
    lines[-1] += f"{rest[-1]:.2f} s, and {mean(rows[1:], 'cpu_seconds'):.2f} CPU seconds (mean)."
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Three curves over the jobs."""
    figure = Figure(figsize=(8, 7), layout="constrained")
    columns = (
        ("rss_mib", "resident memory (MiB)"),
        ("open_files", "open files"),
        ("seconds", "seconds a job"),
    )
    for axes, (key, label) in zip(figure.subplots(3, 1, sharex=True), columns, strict=True):
        axes.plot([row[key] for row in rows])
        axes.set_ylabel(label)
        axes.set_ylim(0, 1.1 * max(row[key] for row in rows))
        axes.grid(alpha=0.3)
    axes.set_xlabel("job")
    save(figure, path)


if __name__ == "__main__":
    sys.exit(main())
