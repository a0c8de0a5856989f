"""Suite `startup`: from the command line to an answer, or to the first step.

Real processes, in turn. The first step counts as done when its checkpoint is on the disk
(`checkpoint.every_steps=1`), so the time holds a checkpoint as well. What each imports comes from
`python -X importtime` and does not depend on the machine's load.
"""

import collections
import functools
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from benchmarks.measure import Row, in_turn, spread, target
from benchmarks.setting import Setting

HEAVY = ("torch", "torch._dynamo", "torch._inductor", "sympy", "triton", "torchvision")
HEAVY += ("matplotlib", "tensorboard", "hydra", "numpy")
LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)")
ANSWERS = {
    "--help": ["-m", "trainer", "--help"],
    "config error": ["-m", "trainer", "epochs=0"],
    "preview": ["-m", "trainer.preview", "scheduler=steplr,warmup_cosine"],
}


def run(setting: Setting, folder: Path) -> Row:
    """The suite."""
    first = functools.partial(first_update, setting, folder, count())
    actions: dict[str, Callable[[], float]] = {
        "python": functools.partial(answer, ["-c", "pass"]),
        "import torch": functools.partial(answer, ["-c", "import torch"]),
        **{name: functools.partial(answer, command) for name, command in ANSWERS.items()},
        "first step": first,
    }
    rows = [spread(name, times) for name, times in in_turn(actions, setting.repeats).items()]
    by_name = {row["name"]: row for row in rows}
    figures = list[Row]()
    for name in ANSWERS:
        seconds = by_name[name]["median_ms"] / 1000
        figures.append({"name": f"seconds: {name}", "value": seconds} | target(seconds, at_most=2))
    pairs = zip(by_name["first step"]["all_ms"], by_name["import torch"]["all_ms"], strict=True)
    beyond = statistics.median(update - torch for update, torch in pairs) / 1000
    name = "seconds: first step beyond import torch"
    figures.append({"name": name, "value": beyond} | target(beyond, at_most=2))
    commands = {"import torch": ["-c", "import torch"], **ANSWERS}
    commands["one epoch"] = ["-m", "trainer", *small_run(setting, folder / "traced")]
    imports = [imported(name, command) for name, command in commands.items()]
    for row in imports:
        print(f"{row['command']}: slowest imports {row['slowest']}")
    return {"rows": rows, "tables": {"imports": imports}, "figures": figures}


def answer(arguments: list[str]) -> float:
    """Seconds from the start of a Python process to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    return time.perf_counter() - start


def small_run(setting: Setting, place: Path, *overrides: str) -> list[str]:
    """Arguments of a run of two steps."""
    size = f"data.train_size={2 * setting.batch_size}"
    return setting.arguments(size, "epochs=1", f"hydra.run.dir={place}", *overrides)


def first_update(setting: Setting, folder: Path, numbers: Iterator[int]) -> float:
    """Seconds from the start of a training process to its first step.

    Raises:
        SystemExit: If it ends before.
    """
    place = folder / f"run{next(numbers)}"
    command = [sys.executable, "-m", "trainer"]
    command += small_run(setting, place, "checkpoint.every_steps=1")
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not (place / "checkpoints" / "step_00000001.pt").exists():
            if process.poll() is not None:
                said = process.stderr.read().decode() if process.stderr else ""
                raise SystemExit(f"bench: error: {' '.join(command)}: {said}")
            time.sleep(0.001)
        seconds = time.perf_counter() - start
        process.communicate()
    return seconds


def imported(name: str, arguments: list[str]) -> Row:
    """How many modules a command imports, which heavy ones, and which packages take longest."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True
    )
    found = [LINE.match(line) for line in done.stderr.splitlines()]
    modules = [(match[3], int(match[1])) for match in found if match]
    names, spent = {module for module, _ in modules}, collections.Counter[str]()
    for module, microseconds in modules:
        spent[module.partition(".")[0]] += microseconds
    slowest = [f"{package} {us / 1000:.0f} ms" for package, us in spent.most_common(6)]
    heavy = " ".join(module for module in HEAVY if module in names)
    return {"command": name, "modules": len(names), "heavy": heavy or "none", "slowest": slowest}
