"""The speed comparison: this package beside its peers, measured in one run on this machine."""

import argparse
import contextlib
import datetime
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import SUITES

Row = dict[str, Any]
PACKAGES = ("torch", "torchvision", "lightning", "accelerate", "timm")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; several suites run one after the other, each in its own process."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_intermixed_args(arguments)
    names = options.suites or ["plain"]
    if unknown := [name for name in names if name not in SUITES]:
        print(f"bench: error: no suite {', '.join(unknown)}: take {', '.join(SUITES)}")
        return 2
    if len(names) == 1:
        return run_suite(names[0], options)
    others = [argument for argument in arguments if argument not in names]
    return max([subprocess.call([sys.executable, __file__, name, *others]) for name in names])


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    width = max(map(len, SUITES))
    lines = [f"  {name:{width}}  {about}" for name, (*_, about) in SUITES.items()]
    parser = argparse.ArgumentParser(
        description="An honest speed comparison: contestants take turns in one run; before a ratio "
        "each peer must have come to the same losses on the same batches.",
        epilog="suites:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suites", nargs="*", metavar="suite", help="one or more; default: plain")
    parser.add_argument("--steps", type=int, help="steps in a block")
    parser.add_argument("--repeats", type=int, help="rounds, each there and back")
    parser.add_argument("--images", type=int, help="use so many training images only")
    parser.add_argument("--batch-size", type=int, default=128, help="images in a step")
    parser.add_argument("--epochs", type=int, default=30, help="of the whole job (suite cuda)")
    parser.add_argument(
        "--equal-steps", type=int, default=50, help="steps that must agree before timing"
    )
    counts = [n for n in (0, 1, 2, 4, 8, 16) if n <= (os.cpu_count() or 1)]
    parser.add_argument(
        "--workers",
        type=lambda text: [int(part) for part in text.split(",")],
        default=counts,
        help=f"numbers of DataLoader workers to try, default {','.join(map(str, counts))}",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--folder", type=Path, default=Path(), help="for temporary files")
    parser.add_argument("--json", type=Path, help="put the result here, beside other suites'")
    return parser


def run_suite(name: str, options: argparse.Namespace) -> int:
    """Runs one suite, prints what it found, and keeps it where asked to."""
    file, steps, repeats, about = SUITES[name]
    from benchmarks.measure import show
    from benchmarks.setting import Setting, busy

    options.steps = steps if options.steps is None else options.steps
    options.repeats = options.repeats or repeats
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.folder) as place:
        folder = Path(place).resolve()
        setting = Setting.of(options, folder)
        result: Row = {"suite": name, "compares": about, **circumstances(options.device)}
        result |= {"data": setting.data_name, "busy_before": busy()}
        result["blocks"] = f"{options.repeats} x 2 of {options.steps} steps of {setting.batch_size}"
        print(*(f"{key}: {value}" for key, value in result.items()), sep="\n", flush=True)
        if (share := result["busy_before"]) is not None and share > 0.2:
            print("warning: the processors are busy with other work: trust no time of this run")
        result |= importlib.import_module(f"benchmarks.{file}").run(setting, folder)
    show(result)
    result["busy_after"] = busy()
    print(f"\nbusy_after: {result['busy_after']}")
    if options.json is not None:
        suites: Row = {}
        with contextlib.suppress(FileNotFoundError):
            suites = json.loads(options.json.read_text())
        options.json.write_text(json.dumps(suites | {name: result}, indent=1) + "\n")
    return 0


def circumstances(device: str) -> Row:
    """Date, machine and versions."""
    from trainer.training.device import choose_device, describe

    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    found: list[str] = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{package} {metadata.version(package)}")
    machine = f"{describe(choose_device(device))}, {os.cpu_count()} processors, "
    entries: Row = {"date": now, "machine": machine + platform.platform()}
    entries["versions"] = ", ".join(found)
    if device.startswith("cuda") and shutil.which("nvidia-smi"):
        asked = "driver_version,clocks.sm,clocks.mem,power.draw,power.limit,temperature.gpu"
        command = ["nvidia-smi", f"--query-gpu={asked}", "--format=csv"]
        entries["gpu"] = subprocess.run(command, capture_output=True, text=True).stdout.split("\n")
    return entries


if __name__ == "__main__":
    sys.exit(main())
