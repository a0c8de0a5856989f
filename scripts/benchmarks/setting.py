"""What a suite works with: sizes, data, device; and the recipe that every contestant trains."""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.config.overrides import compose_run
from trainer.data.cifar10_files import provide

SGD = {"lr": 0.04, "momentum": 0.9, "weight_decay": 5e-4}
RECIPE = ["model=vgg", "optimizer=sgd", *(f"optimizer.{key}={value}" for key, value in SGD.items())]
RECIPE += ["scheduler=constant", "log.progress=lines"]


@dataclass(frozen=True, slots=True)
class Setting:
    """What the command line asked for.

    Attributes:
        steps: Steps in a block.
        repeats: Rounds, each there and back.
        images: Use so many training images; None: all.
        equal_steps: Steps that must agree before anything is timed.
        batch_size: Images in a step.
        epochs: Of a whole job.
        workers: Numbers of DataLoader workers to try.
        device: As in `device=`.
        data: Overrides that say which images; what they are is `data_name`.
        data_name: In words.
        folder: For temporary files; emptied afterwards.
    """

    steps: int
    repeats: int
    images: int | None
    equal_steps: int
    batch_size: int
    epochs: int
    workers: list[int]
    device: str
    data: list[str]
    data_name: str
    folder: Path

    def arguments(self, *overrides: str) -> list[str]:
        """The command line of a run of the recipe."""
        said = [override.partition("=")[0] for override in overrides]
        defaults = [*RECIPE, f"batch_size={self.batch_size}", f"device={self.device}", *self.data]
        return [*(d for d in defaults if d.partition("=")[0] not in said), *overrides]

    def build(self, *overrides: str) -> Any:
        """A run of the recipe (`trainer.run.Run`).

        Raises:
            SystemExit: If an epoch has fewer steps than a block.
        """
        from trainer.training.build import build_run

        run = build_run(compose_run(self.arguments(*overrides)).config)
        if run.steps_per_epoch < self.steps:
            raise SystemExit(f"bench: error: an epoch has only {run.steps_per_epoch} steps")
        return run

    @staticmethod
    def of(options: argparse.Namespace, folder: Path) -> "Setting":
        """From the command line; finds the data."""
        data, name = find_data(options.images)
        asked = {k: v for k, v in vars(options).items() if k in Setting.__annotations__}
        return Setting(**asked | {"data": data, "data_name": name, "folder": folder})


def find_data(images: int | None) -> tuple[list[str], str]:
    """CIFAR-10 if it is where the configuration says, else generated images; and a name for it."""
    data: Any = compose_run(["data=cifar10"]).config.data
    try:
        provide(Path(data.root), download=False, url=data.url)
    except FileNotFoundError:
        sizes = [f"data.train_images={images}", f"data.test_images={images}"] if images else []
        return ["data=synthetic", *sizes], "synthetic: CIFAR-10 is not here, see CIFAR10_ROOT"
    return ["data=cifar10", *([f"data.train_size={images}"] if images else [])], "CIFAR-10"


def busy() -> float | None:
    """The share of the processors in use during a second in which the bench sleeps."""
    stat = Path("/proc/stat")
    if not stat.exists():  # macOS
        return None
    before, _, after = (stat.read_text().split(maxsplit=9)[1:9], time.sleep(1), stat.read_text())
    spent = [int(b) - int(a) for a, b in zip(before, after.split(maxsplit=9)[1:9], strict=True)]
    return round(1 - (spent[3] + spent[4]) / max(sum(spent), 1), 2)  # idle, waiting for a disk
