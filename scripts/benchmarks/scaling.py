"""Suite `scaling`: what changes with the batch, the threads, the data and the length of a run.

Generated images. Images per second by batch size and threads, in one process, in turn; then runs of
their own: time per image and memory with 1 to 8 times the images, and over 100 epochs.
"""

import functools
import itertools
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, in_turn
from benchmarks.setting import RECIPE, Setting
from benchmarks.watch import watched

BATCHES, FACTORS, IMAGES, EPOCHS = (32, 128, 512, 2048, 4096), (1, 2, 4, 8), 4096, 100


def run(setting: Setting, folder: Path) -> Row:
    """The suite."""
    epochs = by_epochs(setting, folder, EPOCHS)
    base = setting.images or IMAGES
    sizes = by_data(setting, folder, [base * factor for factor in FACTORS])
    threads = sorted({1, min(2, os.cpu_count() or 1), os.cpu_count() or 1})
    batches = by_batch(setting, folder, [size for size in BATCHES if size <= base], threads)
    early, late = epochs[min(1, len(epochs) - 1)], epochs[-1]
    small, large = sizes[0], sizes[-1]
    more = large["images"] - small["images"]
    figures = [
        ratio("time an epoch, end / beginning of the run", late["epoch_ms"], early["epoch_ms"]),
        ratio("memory, end / beginning of the run", late["MB"], early["MB"]),
        ratio("time an image, 8x / 1x the data", large["us_an_image"], small["us_an_image"]),
        {"name": "kB more an image", "value": 1e3 * (large["peak_MB"] - small["peak_MB"]) / more},
    ]
    tables = {"batch": batches, "data": sizes, "epochs": epochs}
    return {"rows": [], "tables": tables, "figures": figures}


def ratio(name: str, over: float, under: float) -> Row:
    """One number by another."""
    return {"name": name, "value": over / under}


def by_batch(
    setting: Setting, folder: Path, batches: Sequence[int], threads: Sequence[int]
) -> list[Row]:
    """Images per second of ours by batch size and threads."""
    import torch

    from benchmarks.ours import ours
    from trainer.config.overrides import compose_run
    from trainer.training.build import build_run

    block = setting.steps * setting.batch_size
    images = max(2 * max(batches), 2 * block)
    data = ["data=synthetic", f"data.train_images={images}", "data.test_images=10"]
    actions: dict[str, Any] = {}
    contestants = list[Any]()
    for batch in batches:
        arguments = [*RECIPE, *data, f"batch_size={batch}", f"device={setting.device}"]
        run = build_run(compose_run(arguments).config)
        contestant = ours(str(batch), run, folder / f"batch{batch}")
        contestants.append(contestant)
        steps = max(block // batch, 1)

        def seconds(contestant: Any = contestant, steps: int = steps, count: int = 1) -> float:
            torch.set_num_threads(count)
            return contestant.block(steps)[0]

        for count in threads:
            actions[f"{batch} {count}"] = functools.partial(seconds, count=count)
    before = torch.get_num_threads()
    times = in_turn(actions, setting.repeats)
    torch.set_num_threads(before)
    for contestant in contestants:
        contestant.close()
    rows = list[Row]()
    for name, values in times.items():
        batch, count = map(int, name.split())
        median, best = statistics.median(values), min(values)
        row: Row = {"batch": batch, "threads": count, "images/s": round(batch / median)}
        rows.append(row | {"ms a step": round(1e3 * median, 2), "best": round(batch / best)})
    return rows


def by_data(setting: Setting, folder: Path, sizes: Sequence[int]) -> list[Row]:
    """Time per image and peak memory of whole processes with so many training images."""

    def trained(size: int) -> float:
        place = folder / f"data{size}-{len(peaks[size])}"
        peak = 0.0
        for reading in watched(whole_run(setting, place, size, epochs=1)):
            peak = max(peak, reading["peak_MB"])
        peaks[size].append(peak)
        row = json.loads((place / "metrics.jsonl").read_text().splitlines()[-1])
        return 1 / row["images_per_second"]

    peaks: dict[int, list[float]] = {size: [] for size in sizes}
    actions = {str(size): functools.partial(trained, size) for size in sizes}
    times = in_turn(actions, setting.repeats)
    return [
        {
            "images": size,
            "us_an_image": round(1e6 * statistics.median(times[str(size)]), 1),
            "peak_MB": round(max(peaks[size]), 1),
        }
        for size in sizes
    ]


def by_epochs(setting: Setting, folder: Path, epochs: int) -> list[Row]:
    """Time per epoch (evaluation, logs and checkpoint included) and memory along one run."""
    place = folder / "epochs"
    moments, memory = list[float](), list[float]()
    metrics = place / "metrics.jsonl"
    for reading in watched(whole_run(setting, place, 4 * setting.batch_size, epochs=epochs)):
        done = metrics.read_bytes().count(b"\n") if metrics.exists() else 0
        while len(moments) < done:
            moments.append(time.perf_counter())
            memory.append(reading["MB"])
    seconds = [after - before for before, after in itertools.pairwise(moments)]
    marks = sorted({1, *(max(2, epochs * part // 10) for part in (1, 3, 5, 7, 9)), epochs})
    rows = list[Row]()
    for mark in marks:
        around = seconds[max(mark - 6, 0) : mark + 4] or [0.0]
        row: Row = {"epoch": mark, "epoch_ms": round(1e3 * statistics.median(around), 1)}
        rows.append(row | {"MB": round(memory[min(mark, len(memory)) - 1], 1)})
    return rows


def whole_run(setting: Setting, place: Path, images: int, *, epochs: int) -> list[str]:
    """Arguments of a run on generated images."""
    sizes = [f"data.train_images={images}", "data.test_images=100", f"epochs={epochs}"]
    more = [f"batch_size={setting.batch_size}", f"device={setting.device}", "log.progress=none"]
    recipe = [argument for argument in RECIPE if argument != "log.progress=lines"]
    run = f"hydra.run.dir={place}"
    return ["-m", "trainer", *recipe, "data=synthetic", *sizes, *more, run]
