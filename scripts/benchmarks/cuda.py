"""Suite `cuda`: what a GPU is to show, in about five minutes; everything also runs on a CPU.

What is expected of one H100 stands beside the figures. It was written down before any GPU had run
this (docs/speed.md), from the number of launches, so it is a prediction and not a target.

In this order: images per second over whole epochs (our engine, the same on a frozen batch, and the
eager engine, in turn); what the device did in some steps (kernels, gaps, idle share), captured
and eager; the whole job in a warm process; the whole job from process start to final files.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, figure, interleave, settle, spread
from benchmarks.ours import frozen_batch, ours
from benchmarks.setting import Setting
from benchmarks.trace import Trace, traced
from trainer.cli.signals import StopRequest
from trainer.config.overrides import compose_run
from trainer.training import session
from trainer.training.build import build_run
from trainer.training.graph import GraphEngine
from trainer.training.record import Record

TRACED = 20  # steps


def run(setting: Setting, folder: Path) -> Row:
    """The suite."""
    whole, other = setting.build(), setting.build("engine=eager")
    frozen = frozen_batch(setting.build())
    captured = isinstance(whole.engine, GraphEngine)
    steps = setting.steps or whole.steps_per_epoch
    mine, eager = ours("ours", whole, folder / "ours"), ours("eager", other, folder / "eager")
    rows = interleave([mine, frozen, eager], steps, setting.repeats, setting.batch_size)
    count = min(TRACED, steps)
    traces = {name: traced(c.advance, count, whole.device) for name, c in
              (("ours", mine), ("eager", eager))}  # fmt: skip
    mine.close()
    eager.close()
    warm = [job(setting, folder / f"warm{number}") for number in range(1 + setting.repeats)][1:]
    cold = [process(setting, folder / f"cold{number}") for number in range(setting.repeats)]
    jobs = [spread(name, [j[name] for j in warm]) for name in ("build", "train and write", "all")]
    jobs.append(spread("process start to end", cold))
    on_gpu = whole.device.type == "cuda"
    return {
        "engine": "graph" if captured else "eager",
        "precision": whole.precision,
        "epochs": setting.epochs,
        "rows": rows,
        "tables": {"jobs": jobs, "work": work_rows(traces), **kernel_tables(traces)},
        "figures": figures(rows, jobs, traces, setting, on_gpu=on_gpu),
    }


def figures(
    rows: list[Row], jobs: list[Row], traces: dict[str, Trace], setting: Setting, *, on_gpu: bool
) -> list[Row]:
    """The figures of the suite; what is predicted is for a GPU at full size only."""

    def beside(value: float, predicted: str) -> Row:
        full = on_gpu and setting.images is None and setting.epochs == 30
        return {"value": value} | ({"predicted": predicted} if full else {})

    mine, frozen, eager = rows
    warm, cold = (jobs[place]["median_ms"] / 1000 for place in (2, 3))
    idle, tax = traces["ours"].idle_share(), figure("loader tax", mine, frozen, less=1)
    epochs = f"{setting.epochs} epochs"
    return [
        {"name": "images/s, steady", **beside(mine["images/s"], "360,000 to 485,000")},
        {**tax, **beside(tax["value"], "0.05 to 0.10")},
        figure("speed: ours / eager engine", eager, mine),
        {"name": "idle share of the device", **beside(idle, "at most 0.05")},
        {"name": f"seconds: {epochs}, warm process", **beside(warm, "3.4 to 4.5")},
        {"name": f"seconds: {epochs}, process start to end", **beside(cold, "7 to 11")},
    ]


def work_rows(traces: dict[str, Trace]) -> list[Row]:
    """How much the device does in a step, and how long it does nothing."""
    rows = list[Row]()
    for name, trace in traces.items():
        gaps = trace.gaps()
        row: Row = {"engine": name, "kernels": round(len(trace.names) / trace.steps, 1)}
        row["us a step"] = round(trace.span() / trace.steps, 1)
        row["idle"] = round(trace.idle_share(), 4)
        row["gaps > 1 us"] = round(sum(gap > 1 for gap in gaps) / trace.steps, 1)
        rows.append(row | {"longest us": round(gaps[0], 1) if gaps else 0.0})
    return rows


def kernel_tables(traces: dict[str, Trace]) -> dict[str, list[Row]]:
    """The kernels of a step, longest first."""
    return {f"kernels, {name}": trace.table() for name, trace in traces.items()}


def job(setting: Setting, folder: Path) -> dict[str, float]:
    """A whole run in this process, with everything that a user's run does and writes."""
    folder.mkdir(parents=True)
    arguments = setting.arguments(f"epochs={setting.epochs}")
    config = compose_run(arguments).config
    settle()
    start = time.perf_counter()
    built = build_run(config)
    settle()
    middle = time.perf_counter()
    session.carry_out(built, folder, Record(built, folder), StopRequest())
    end = time.perf_counter()
    check(folder, setting.epochs)
    return {"build": middle - start, "train and write": end - middle, "all": end - start}


def process(setting: Setting, folder: Path) -> float:
    """Seconds of `python -m trainer` from its start to its end, with all files there."""
    arguments = setting.arguments(f"epochs={setting.epochs}", f"hydra.run.dir={folder}")
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "trainer", *arguments], check=True, stdout=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - start
    check(folder, setting.epochs)
    return seconds


def check(folder: Path, epochs: int) -> None:
    """Raises SystemExit unless the run in the folder is complete."""
    summary: Any = json.loads((folder / "summary.json").read_text())
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    if summary["status"] != "done" or len(lines) != epochs:
        raise SystemExit(f"bench: error: {folder} is not a complete run of {epochs} epochs")
