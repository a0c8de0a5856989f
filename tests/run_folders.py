"""Run folders as a finished, failed or killed run leaves them, written without training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STEPS = 10  # steps in an epoch


def write_run(
    folder: Path,
    accuracies: Sequence[float],
    *,
    scheduler: Mapping[str, Any] | str = "steplr",
    seed: int = 0,
    status: str = "done",
    split: str = "test",
    settings: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    lrs: Sequence[float] | None = None,
    seconds: float = 2.0,
    every: int = 1,
) -> Path:
    """A run that was evaluated as given; `train/accuracy` is 0.05 above.

    Args:
        folder: Where; is made.
        accuracies: One per evaluated epoch.
        scheduler: Its keys, or its name alone.
        seed: Its seed.
        status: In summary.json.
        split: `test` or `val`.
        settings: More keys of config.yaml, over these.
        summary: More keys of summary.json, over these.
        lrs: LR of each step.
        seconds: Per row.
        every: Epochs between evaluations.
    """
    folder.mkdir(parents=True)
    option = {"name": scheduler} if isinstance(scheduler, str) else dict(scheduler)
    config: dict[str, Any] = {
        "name": None,
        "epochs": len(accuracies) * every,
        "batch_size": 128,
        "seed": seed,
        "device": "auto",
        "data": {"name": "cifar10", "val_size": 500 if split == "val" else 0, "root": str(folder)},
        "model": {"name": "vgg"},
        "optimizer": {"name": "sgd", "lr": 0.04, "groups": []},
        "scheduler": option,
        "checkpoint": {"keep_last": 2},
    }
    for key, value in (settings or {}).items():
        group, _, inner = key.partition(".")
        if inner:
            config[group] = {**config[group], inner: value}
        else:
            config[group] = value
    rows = [
        {
            "epoch": n * every,
            "step": n * every * STEPS,
            "lr": 0.04,
            "train/loss": 1.0 / n,
            "train/accuracy": accuracy + 0.05,
            f"{split}/loss": 1.2 / n,
            f"{split}/accuracy": accuracy,
            "skipped_updates": 0,
            "seconds": seconds,
            "images_per_second": 1000.0,
        }
        for n, accuracy in enumerate(accuracies, 1)
    ]
    entries = {
        "status": status,
        "name": config["name"],
        "epochs": len(rows) * every,
        "updates": len(rows) * every * STEPS,
        "seconds": seconds * len(rows),
        "last": rows[-1] if rows else None,
        "data": {"name": "cifar10", "sha256": "da7a" * 16},
        "device": "a CPU, 1 thread",
        "precision": "bf16",
        "versions": {"trainer": "0.1.0", "python": "3.11.0", "torch": "2.15.0"},
        "git": None,
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    (folder / "summary.json").write_text(json.dumps({**entries, **(summary or {})}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = lrs if lrs is not None else [0.04] * (len(rows) * every * STEPS)
    lines = [f"{k},{lr!r}\n" for k, lr in enumerate(steps)]
    (folder / "lr.csv").write_text("step,lr\n" + "".join(lines))
    return folder


def write_seeds(place: Path, finals: Sequence[float], **settings: Any) -> None:
    """A run per seed that ends at the given accuracy; two epochs each."""
    for seed, final in enumerate(finals):
        write_run(place / f"seed_{seed}", [final / 2, final], seed=seed, **settings)
