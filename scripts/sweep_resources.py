"""Runs many small jobs in one sweep; draws the sweep's memory and open files, and each job's time.

Usage: python scripts/sweep_resources.py [--jobs 100] [--output docs/results]
"""

import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from matplotlib.figure import Figure

from trainer.cli.plot import save

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["data=synthetic", "epochs=1", "data.train_size=256"]
ENDED = re.compile(r"^\[[#.]+\] job (\d+) of .*: done")


def measure(jobs: int, place: Path) -> list[dict[str, float]]:
    """A row per job of one sweep: the process that sweeps just behind it, and how long it took."""
    arguments = ["-m", f"seed=range({jobs})", *SMALL, f"hydra.sweep.dir={place / 'sweep'}"]
    sweep = subprocess.Popen(
        [sys.executable, "-u", "-m", "trainer", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    rows: list[dict[str, float]] = []
    before = time.perf_counter()
    for line in sweep.stdout or ():
        if ENDED.match(line):
            now = time.perf_counter()
            own = Path("/proc", str(sweep.pid))
            pages = int((own / "statm").read_text().split()[1])
            summary = json.loads((place / "sweep" / str(len(rows)) / "summary.json").read_text())
            rows.append(
                {
                    "rss_mib": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2),
                    "open_files": len(os.listdir(own / "fd")),
                    "threads": len(os.listdir(own / "task")),
                    "seconds": round(now - before, 3),
                    "trained_seconds": summary["seconds"],
                }
            )
            before = now
    if sweep.wait():
        raise ChildProcessError(f"the sweep left with {sweep.returncode}")
    return rows


def alone(place: Path, runs: int = 5) -> list[dict[str, float]]:
    """The same run as a command of its own, from its start to its end."""
    rows: list[dict[str, float]] = []
    for number in range(runs):
        folder, begun = place / f"alone_{number}", time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "trainer", *SMALL, f"seed={number}", f"hydra.run.dir={folder}"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        took = time.perf_counter() - begun
        summary = json.loads((folder / "summary.json").read_text())
        rows.append({"seconds": round(took, 3), "trained_seconds": summary["seconds"]})
    return rows


def main() -> int:
    """Measures, draws, writes; returns 1 if memory or open files grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rows, single = measure(flags.jobs, Path(place)), alone(Path(place))
    flags.output.mkdir(parents=True, exist_ok=True)
    (flags.output / "sweep_resources.json").write_text(json.dumps(rows, indent=0) + "\n")
    draw(rows, flags.output / "sweep_resources.png")
    text = summary(rows, single)
    (flags.output / "sweep_resources.md").write_text(text)
    print(text)
    tenth = max(1, len(rows) // 10)
    last, settled = rows[-tenth:], rows[tenth : 2 * tenth]
    grown = median(last, "rss_mib") > 1.02 * median(settled, "rss_mib")
    return int(grown or median(last, "open_files") > median(settled, "open_files"))


def median(rows: list[dict[str, float]], key: str) -> float:
    """The median of a column."""
    return statistics.median(row[key] for row in rows)


def beyond(rows: list[dict[str, float]]) -> float:
    """What a run takes beside its own training, in seconds: the median."""
    return statistics.median(row["seconds"] - row["trained_seconds"] for row in rows)


def machine() -> str:
    """The processor, its cores, and what else was running."""
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    load = os.getloadavg()[2]
    return f"{os.cpu_count()} cores of {names[0] if names else 'a CPU'}, load {load:.1f} (15 min)"


def summary(rows: list[dict[str, float]], single: list[dict[str, float]]) -> str:
    """What was measured, in a table."""
    import torch

    words = " ".join(SMALL)
    lines = [
        f"# {len(rows)} jobs of one sweep",
        "",
        f"`python -m trainer -m {words} 'seed=range({len(rows)})'`: the process that sweeps, "
        "measured after each job by `scripts/sweep_resources.py` "
        f"({datetime.date.today()}, {machine()}, torch {torch.__version__}, n = {len(rows)}):",
        "",
        "![memory, open files and seconds](sweep_resources.png)",
        "",
        "| job | resident memory (MiB) | open files | threads | seconds | of them training |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for number in [n for n in (0, 1, 9, 24, 49, 74, 99) if n < len(rows)]:
        row = rows[number]
        lines.append(
            f"| {number} | {row['rss_mib']:.0f} | {row['open_files']} | {row['threads']} "
            f"| {row['seconds']:.2f} | {row['trained_seconds']:.2f} |"
        )
    rest = rows[1:]
    lines += [
        "",
        f"After the first a job took {median(rest, 'seconds'):.2f} s (median), at most "
        f"{max(row['seconds'] for row in rest):.2f} s; beside its own training "
        f"{beyond(rest):.2f} s (median). The same run as a command of its own takes "
        f"{beyond(single):.2f} s beside its training (median of {len(single)}).",
    ]
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
