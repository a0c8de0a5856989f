"""Suite `memory`: peak resident memory of a real run on the CPU; all images are loaded."""

from pathlib import Path

from benchmarks.measure import Row, target
from benchmarks.setting import Setting
from benchmarks.watch import watched


def run(setting: Setting, folder: Path) -> Row:
    """The suite."""
    size = min(6400, setting.images or 6400)
    overrides = ["epochs=1", "device=cpu", f"data.train_size={size}", "log.progress=none"]
    command = ["-m", "trainer", *setting.arguments(*overrides, f"hydra.run.dir={folder / 'run'}")]
    torch_alone = peak(["-c", "import torch"]) / 1000
    whole = peak(command) / 1000
    name = f"peak GB: python -m trainer, one epoch of {size} images"
    return {
        "figures": [
            {"name": "peak GB: import torch", "value": torch_alone},
            {"name": name, "value": whole} | target(whole, at_most=1.5),
        ]
    }


def peak(arguments: list[str]) -> float:
    """The largest resident memory of a Python process in MB."""
    return max(reading["peak_MB"] for reading in watched(arguments))
