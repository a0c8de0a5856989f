"""The speed comparison: this package beside the loop that people write, measured in one run.

`train`: all contestants train the same network from the same weights on the same images with the
same recipe. They take turns in blocks of `--steps` updates, there and back (ABC CBA), `--repeats`
times, after a warm-up block each. Before anything is timed, ours and the plain loop must arrive at
the same losses and weights on the same batches. Ours runs `Training.train_epoch` itself, so each
block also pays for a whole epoch's table and a final reading of the losses. Before each timed
block come updates that are not timed: one, or five where workers have batches in store.

`memory`: peak resident memory of a real `python -m trainer`, beside that of importing torch.
`checkpoint`: commits beside bare writes of as many bytes, and training, in turn.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from trainer import checkpoint
from trainer.arguments import compose_run
from trainer.data.cifar10_files import provide
from trainer.data.device_loader import MEAN, STD
from trainer.data.epoch_table import epoch_table
from trainer.data.image_set import ImageSet
from trainer.device import choose_device, describe, set_determinism
from trainer.run import Run
from trainer.signals import StopRequest
from trainer.train import Training

BATCH_SIZE = 128
SGD = {"lr": 0.04, "momentum": 0.9, "weight_decay": 5e-4}
RECIPE = ["model=vgg", "optimizer=sgd", *(f"optimizer.{key}={value}" for key, value in SGD.items())]
RECIPE += ["scheduler=constant", f"batch_size={BATCH_SIZE}", "log.progress=lines"]
# What rounding may do in five fp32 updates; without weight decay weights come 5e-5 apart.
EQUAL_STEPS, LOSS_TOLERANCE, WEIGHT_TOLERANCE = 5, 1e-5, 2e-6
DEFAULTS = {"train": (20, 3), "memory": (1, 1), "checkpoint": (10, 10)}  # --steps, --repeats

Row = dict[str, Any]


class PilImages(Dataset[tuple[torch.Tensor, int]]):
    """As torchvision.datasets.CIFAR10: an array in memory; per item a PIL image, transformed."""

    def __init__(self, images: ImageSet) -> None:
        """Takes over the training images."""
        self.data, self.targets = images.images.numpy(), images.labels.tolist()
        crop, flip = transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()
        normalize = transforms.Normalize(MEAN, STD)
        self.transform = transforms.Compose([crop, flip, transforms.ToTensor(), normalize])

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """One augmented image and its label."""
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.targets)


def tutorial_vgg(classes: int) -> nn.Module:
    """The network as a tutorial writes it: convolution, ReLU, pool."""
    layers, before = list[nn.Module](), 3
    for after in (32, 0, 64, 64, 0, 128, 128, 128, 0):
        if after:
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.ReLU()]
        else:
            layers.append(nn.MaxPool2d(2))
        before = after or before
    head = [nn.Linear(2048, 128, bias=False), nn.ReLU(), nn.Linear(128, classes, bias=False)]
    return nn.Sequential(*layers, nn.Flatten(), *head)


class PlainLoop:
    """The loop that people write."""

    def __init__(self, run: Run, *, workers: int = 0, fast: bool = False) -> None:
        """Takes over a run's images and weights; fast: in bf16 and channels_last."""
        self.device, self.fast, self.workers, self.correct = run.device, fast, workers, 0
        self.model = tutorial_vgg(len(run.data.train.classes))
        weights = zip(self.model.state_dict(), run.model.state_dict().values(), strict=True)
        self.model.load_state_dict(dict(weights))
        self.format = torch.channels_last if fast else torch.contiguous_format
        self.model.to(device=self.device, memory_format=self.format)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), **SGD)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda _: 1.0)
        self.batches = self.endless(PilImages(run.data.train))

    def endless(self, images: PilImages) -> Iterator[list[torch.Tensor]]:
        """Batches of one epoch after the other."""
        loader = DataLoader(
            images,
            batch_size=BATCH_SIZE,
            shuffle=True,
            drop_last=True,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.device.type == "cuda",
        )
        while True:
            yield from loader

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        """One update; returns the loss."""
        images = images.to(self.device, memory_format=self.format)
        labels = labels.to(self.device)
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.fast):
            outputs = self.model(images)
            loss = self.criterion(outputs, labels)
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        self.correct += (outputs.argmax(1) == labels).sum().item()
        return loss.item()

    def advance(self, steps: int) -> float:
        """Some updates; returns their mean loss."""
        return sum(self.step(*next(self.batches)) for _ in range(steps)) / steps


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that trains.

    Attributes:
        name: In the table.
        advance: Does so many updates, waits for them, and returns their mean loss.
        deterministic: The process flags that it runs under.
        workers: Of its DataLoader.
    """

    name: str
    advance: Callable[[int], float]
    deterministic: bool
    workers: int = 0

    def block(self, steps: int) -> tuple[float, float]:
        """Times some updates; returns seconds per update and the mean loss."""
        set_determinism(self.deterministic)
        self.advance(1 + 2 * self.workers)
        start = time.perf_counter()
        loss = self.advance(steps)
        seconds = time.perf_counter() - start
        if self.workers:
            time.sleep(0.5)  # they fill their store again, and must not in another's time
        return seconds / steps, loss


def ours(name: str, run: Run, folder: Path) -> Contestant:
    """`Training.train_epoch` of a run, some updates at a time."""
    folder.mkdir()
    training = Training.start(run, folder, StopRequest())
    updates, progress = run.steps_per_epoch, run.progress
    training.close()  # they are written after commits only

    def advance(steps: int) -> float:
        if progress.step_in_epoch + steps > updates:
            progress.next_epoch()
            run.sums.clear()
        start, end = progress.step_in_epoch, progress.step_in_epoch + steps
        run.steps_per_epoch = end
        training.train_epoch()
        run.steps_per_epoch = updates
        return float(run.sums.losses[start:end].mean())

    return Contestant(name, advance, run.config.deterministic)


def frozen_batch(run: Run) -> Contestant:
    """Our update on one and the same batch: training with the loader taken out."""
    images, labels = run.loader.batch(first_table(run), 0)

    def advance(steps: int) -> float:
        run.sums.clear()
        for _ in range(steps):
            run.update(images, labels, run.sums)
            run.scheduler.step()
        return float(run.sums.losses[:steps].mean())

    return Contestant("frozen batch", advance, run.config.deterministic)


def first_table(run: Run) -> Any:
    """The table of the first epoch."""
    data = run.config.data
    return epoch_table(0, 0, len(run.data.train), padding=data.crop_padding, flip=data.flip)


def check_equality(run: Run) -> Row:
    """Same weights and same fp32 batches: the two must learn the same, or nothing is measured."""
    plain, table, theirs = PlainLoop(run), first_table(run), list[float]()
    for step in range(EQUAL_STEPS):
        images, labels = run.loader.batch(table, step)
        run.update(images, labels, run.sums)
        run.scheduler.step()
        theirs.append(plain.step(images.contiguous(), labels))
    losses = run.sums.losses[:EQUAL_STEPS].tolist()
    loss = max(abs(a - b) for a, b in zip(losses, theirs, strict=True))
    pairs = zip(run.model.parameters(), plain.model.parameters(), strict=True)
    weight = max(float((a - b).detach().abs().max()) for a, b in pairs)
    text = (
        f"{EQUAL_STEPS} fp32 updates of ours and of the plain loop on the same batches: losses "
        f"differ by {loss:.1e} (allowed {LOSS_TOLERANCE:.0e}), weights by {weight:.1e} (allowed "
        f"{WEIGHT_TOLERANCE:.0e})"
    )
    if not (loss <= LOSS_TOLERANCE and weight <= WEIGHT_TOLERANCE):
        raise SystemExit(f"bench: error: not the same training: {text}: {losses}, {theirs}")
    print(f"equivalence: {text}")
    return {"steps": EQUAL_STEPS, "losses": losses, "loss_gap": loss, "weight_gap": weight}


def build(options: argparse.Namespace, *overrides: str) -> Run:
    """A run of the recipe."""
    arguments = [*RECIPE, f"device={options.device}", *options.data, *overrides]
    run = Run.build(compose_run(arguments).config)
    if run.steps_per_epoch < max(options.steps, EQUAL_STEPS):
        raise SystemExit(f"bench: error: an epoch has only {run.steps_per_epoch} updates")
    return run


def train_suite(options: argparse.Namespace, folder: Path) -> Row:
    """Our training beside the plain loop."""
    equality = check_equality(build(options, "amp=none"))
    run = build(options)
    other = build(options, "data.loader=torchvision", "data.workers=0")
    contestants = [
        ours("ours", run, folder / "ours"),
        ours("ours, torchvision loader", other, folder / "other"),
        frozen_batch(build(options)),
    ]
    titles = {False: "plain loop", True: "plain loop, bf16 + channels_last"}
    for fast, workers in ((False, 0), (False, 2), (True, 0), (True, 2)):
        loop = PlainLoop(run, workers=workers, fast=fast)
        name = f"{titles[fast]}, {workers} workers"
        contestants.append(Contestant(name, loop.advance, False, workers))
    rows = interleave(contestants, options.steps, options.repeats)
    mine, torchvision, frozen, *peers = rows
    plain, fast = (min(pair, key=lambda row: row["median_ms"]) for pair in (peers[:2], peers[2:]))
    figures = [
        figure(f"speed: ours / {plain['name']}", plain, mine, at_least=2.0),
        figure(f"speed: ours / {fast['name']}", fast, mine),
        figure("loader tax: time of ours / frozen batch - 1", mine, frozen, less=1, at_most=0.10),
        figure("speed: ours, torchvision loader / ours", mine, torchvision),
    ]
    print(f"ours computes in {run.precision.replace('none', 'fp32')}")
    return {"precision": run.precision, "equivalence": equality, "rows": rows, "figures": figures}


def interleave(contestants: list[Contestant], steps: int, repeats: int) -> list[Row]:
    """A warm-up block each, then blocks in turn, there and back."""
    blocks: dict[str, list[tuple[float, float]]] = {c.name: [] for c in contestants}
    for contestant in contestants:
        set_determinism(contestant.deterministic)
        contestant.advance(steps)
    for number in range(repeats):
        print(f"round {number + 1} of {repeats}", file=sys.stderr, flush=True)
        for contestant in (*contestants, *reversed(contestants)):
            blocks[contestant.name].append(contestant.block(steps))
    rows = [spread(name, [seconds for seconds, _ in timed]) for name, timed in blocks.items()]
    for row in rows:
        row["images/s"] = round(BATCH_SIZE / row["median_ms"] * 1000)
        row["last_loss"] = round(blocks[row["name"]][-1][1], 4)
    return rows


def spread(name: str, seconds: list[float]) -> Row:
    """Median, minimum and maximum in milliseconds."""
    times = [round(1000 * value, 3) for value in seconds]
    row: Row = {"name": name, "all_ms": times, "median_ms": round(statistics.median(times), 3)}
    return row | {"min_ms": min(times), "max_ms": max(times)}


def figure(name: str, over: Row, under: Row, *, less: int = 0, **goal: float) -> Row:
    """A ratio of times, by the medians and by the minima, and its target."""
    by_median, by_min = (over[k] / under[k] - less for k in ("median_ms", "min_ms"))
    return {"name": name, "value": by_median, "by_min": by_min} | target(by_median, **goal)


def target(value: float, *, at_least: float | None = None, at_most: float | None = None) -> Row:
    """A target and whether it is met; nothing without one."""
    if at_least is not None:
        return {"target": f">= {at_least:g}", "met": value >= at_least}
    return {} if at_most is None else {"target": f"<= {at_most:g}", "met": value <= at_most}


def show(result: Row) -> None:
    """Prints the table and the figures of a suite."""
    rows, figures = result.get("rows", []), result["figures"]
    width = max(len(row["name"]) for row in (*rows, *figures)) + 2
    columns = [key for key in (rows[0] if rows else {}) if key not in ("name", "all_ms")]
    if rows:
        print("\n" + "contestant".ljust(width), *(f"{key:>11}" for key in columns))
    for row in rows:
        print(row["name"].ljust(width), *(f"{row[key]:11,}" for key in columns))
    print()
    for row in figures:
        line = f"{row['name']:{width}}{row['value']:9.4f}"
        line += f"  (by the minima {row['by_min']:.4f})" if "by_min" in row else ""
        line += f"  target {row['target']}" if "target" in row else ""
        print(line + {True: ": met", False: ": MISSED", None: ""}[row.get("met")])


def memory_suite(options: argparse.Namespace, folder: Path) -> Row:
    """Peak resident memory of a real run on the CPU; all images are loaded, some trained on."""
    size = min(6400, options.images or 6400)
    data = [argument for argument in options.data if not argument.startswith("data.train_size")]
    command = ["-m", "trainer", *RECIPE, *data, "epochs=1", "device=cpu"]
    command += [f"data.train_size={size}", f"hydra.run.dir={folder / 'run'}"]
    figures = [
        {"name": f"peak RSS in GB: {name}", "value": peak_bytes(arguments) / 1e9}
        for name, arguments in (
            ("import torch, torchvision", ["-c", "import torch, torchvision"]),
            (f"python -m trainer, one epoch of {size} images", command),
        )
    ]
    return {"figures": [figures[0], figures[1] | target(figures[1]["value"], at_most=1.5)]}


def peak_bytes(arguments: list[str]) -> int:
    """The largest resident memory of a Python process.

    Raises:
        SystemExit: If it fails; or if the bench itself is as large, for Linux counts the memory
            of the process that a child comes from as the child's own.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if child.returncode or usage.ru_maxrss <= own:
        raise SystemExit(
            f"bench: error: {arguments}: exit code {child.returncode}, peak "
            f"{usage.ru_maxrss * unit:,} bytes, the bench's own {own * unit:,}"
        )
    return usage.ru_maxrss * unit


def checkpoint_suite(options: argparse.Namespace, folder: Path) -> Row:
    """Commits, bare writes and training in turn."""
    run = build(options)
    training, numbers = ours("update", run, folder / "run"), iter(range(1, 10**6))

    def commit() -> None:
        state, step = run.state_dict(), next(numbers)
        checkpoint.save(folder / "run", state, step, keep_last=2, best=False)

    def bare() -> None:
        with (folder / "bare").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    training.block(options.steps)
    commit()
    files = {s.st_ino: s.st_size for s in map(Path.stat, (folder / "run").glob("checkpoints/*"))}
    content = os.urandom(sum(files.values()))
    times: dict[str, list[float]] = {"update": [], "commit": [], "bare": []}
    for number in range(options.repeats):
        print(f"round {number + 1} of {options.repeats}", file=sys.stderr, flush=True)
        times["update"].append(training.block(options.steps)[0])
        for action in [commit, bare, bare, commit] * 2:
            (folder / "bare").unlink(missing_ok=True)
            start = time.perf_counter()
            action()
            times[action.__name__].append(time.perf_counter() - start)
        times["update"].append(training.block(options.steps)[0])
    rows = [spread(name, values) for name, values in times.items()]
    for row in rows:
        row["p95_ms"] = round(statistics.quantiles(row["all_ms"], n=20, method="inclusive")[18], 3)
    update, commits, _ = rows
    epoch = update["median_ms"] * run.steps_per_epoch
    print(f"a commit (state_dict, save) is {len(content):,} bytes in {len(files)} files; an epoch")
    print(f"is {run.steps_per_epoch} updates, {epoch / 1000:.1f} s at the median update")
    share = {"name": "share: commit / epoch", "value": commits["median_ms"] / epoch}
    figures = [figure("time: commit / bare write + fsync", commits, rows[2]), share]
    return {"bytes": len(content), "epoch_ms": epoch, "rows": rows, "figures": figures}


SUITES = {"train": train_suite, "memory": memory_suite, "checkpoint": checkpoint_suite}


def busy() -> float | None:
    """The share of the processors in use during a second in which the bench sleeps."""
    stat = Path("/proc/stat")
    if not stat.exists():  # macOS
        return None
    before, _, after = (stat.read_text().split(maxsplit=9)[1:9], time.sleep(1), stat.read_text())
    spent = [int(b) - int(a) for a, b in zip(before, after.split(maxsplit=9)[1:9], strict=True)]
    return round(1 - (spent[3] + spent[4]) / max(sum(spent), 1), 2)  # idle, waiting for a disk


def find_data(images: int | None) -> tuple[list[str], str]:
    """CIFAR-10 if it is where the configuration says, else made-up images; and a name for it."""
    data: Any = compose_run(["data=cifar10"]).config.data
    try:
        provide(Path(data.root), download=False, url=data.url)
    except FileNotFoundError:
        sizes = [f"data.train_images={images}", f"data.test_images={images}"] if images else []
        return ["data=synthetic", *sizes], "synthetic: CIFAR-10 is not here, see CIFAR10_ROOT"
    return ["data=cifar10", *([f"data.train_size={images}"] if images else [])], "CIFAR-10"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="An honest speed comparison, all in one run.")
    parser.add_argument("suite", nargs="?", choices=SUITES, default="train")
    parser.add_argument("--steps", type=int, help="updates in a block")
    parser.add_argument("--repeats", type=int, help="rounds, each there and back")
    parser.add_argument("--images", type=int, help="use so many training images only")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, default=Path(), help="for temporary files")
    parser.add_argument("--json", type=Path, help="put the result here, beside other suites'")
    options = parser.parse_args()
    steps, repeats = DEFAULTS[options.suite]
    options.steps, options.repeats = options.steps or steps, options.repeats or repeats
    options.data, data_name = find_data(options.images)
    result: Row = {
        "suite": options.suite,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": f"{describe(choose_device(options.device))}, {platform.platform()}",
        "versions": f"torch {torch.__version__}, Python {platform.python_version()}",
        "data": data_name,
        "busy_before": busy(),
    }
    if options.suite != "memory":
        result["blocks"] = f"{options.repeats} x 2 of {options.steps} updates"
    print(*(f"{key}: {value}" for key, value in result.items()), sep="\n")
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.folder) as folder:
        result |= SUITES[options.suite](options, Path(folder).resolve())
    show(result)
    result["busy_after"] = busy()
    print(f"\nbusy_after: {result['busy_after']}")
    if options.json is not None:
        suites: Row = {}
        with contextlib.suppress(FileNotFoundError):
            suites = json.loads(options.json.read_text())
        options.json.write_text(json.dumps(suites | {options.suite: result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
