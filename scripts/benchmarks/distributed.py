"""Suite `distributed`: one process and two (on GPUs up to eight), under `torchrun`.

One thread each. The launches take turns; inside one, blocks of whole steps, of steps that
exchange nothing, and of the bare exchange take turns too, so the cost of the exchange compares like
with like.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Row, spread
from benchmarks.setting import Setting

BATCHES = (128, 1024)  # of all processes together


def run(setting: Setting, folder: Path) -> Row:
    """The suite."""
    rows, figures = list[Row](), list[Row]()
    counts = (1, 2)
    if setting.device == "cuda":
        counts = tuple(n for n in (1, 2, 4, 8) if n <= torch.cuda.device_count())
    most = counts[-1]
    for batch in (setting.batch_size,) if setting.images else BATCHES:
        launches: dict[int, list[Row]] = {count: [] for count in counts}
        for number in range(setting.repeats):
            for count in (*counts, *reversed(counts)):
                place = folder / f"{batch}_{number}_{count}_{len(launches[count])}"
                launches[count].append(launched(setting, place, count, batch))
        for count, found in launches.items():
            name = f"batch {batch}, {count} process" + ("es" if count > 1 else "")
            for what in ("update", "without exchange", "bare exchange", "start"):
                rows.append(spread(f"{name}: {what}", [s for one in found for s in one[what]]))
            rows[-4]["images/s"] = round(batch / rows[-4]["median_ms"] * 1000)
            for row in rows[-3:]:
                row["images/s"] = ""
        one, many = (
            [statistics.median(found["update"]) for found in launches[count]] for count in (1, most)
        )
        gains = [a / b for a, b in zip(one, many, strict=True)]
        medians = {row["name"]: row["median_ms"] for row in rows}
        name = f"batch {batch}, {most} processes: "
        exchange = medians[f"{name}update"] - medians[f"{name}without exchange"]
        figures += [
            {
                "name": f"batch {batch}: {most} processes against 1, times as fast",
                "value": statistics.median(gains),
                "quartiles": quartiles(gains),
            },
            {
                "name": f"batch {batch}: efficiency of {most}",
                "value": statistics.median(gains) / most,
            },
            {
                "name": f"batch {batch}: share of the exchange in a step of {most}",
                "value": exchange / medians[f"{name}update"],
            },
        ]
    return {"rows": rows, "figures": figures}


def quartiles(values: list[float]) -> list[float]:
    """Lower and upper."""
    if len(values) < 2:
        return values * 2
    low, _, high = statistics.quantiles(values, n=4)
    return [low, high]


def launched(setting: Setting, place: Path, processes: int, batch: int) -> Row:
    """What `processes` under a launcher of their own took.

    Raises:
        SystemExit: If they fail.
    """
    place.mkdir(parents=True)
    arguments = setting.arguments(f"batch_size={batch}", "deterministic=true")
    task = {
        "arguments": arguments,
        "steps": setting.steps,
        "out": str(place / "times.json"),
        "start": time.time(),
    }
    (place / "task.json").write_text(json.dumps(task))
    worker = Path(__file__).with_name("distributed_worker.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc_per_node={processes}", str(worker), str(place / "task.json")]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"bench: error: {' '.join(command)}: {done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads((place / "times.json").read_text())
    return found
