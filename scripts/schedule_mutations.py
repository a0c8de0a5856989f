"""Shifts each schedule by one step and shows which test notices; all must be noticed.

Each option's curve (and momentum) is moved to k + 1 and to k - 1 while the tests run against it.

Usage: python scripts/schedule_mutations.py     (about five minutes; writes docs/results)
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from trainer.schedules.options import OPTIONS

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "results" / "schedule_mutations.md"
TESTS = ["tests/schedules", "tests/config/test_recipes.py"]
PLUGIN = """
import os

from trainer.schedules.options import OPTIONS
from trainer.schedules.plateau_state import PlateauTracker

option, shift = OPTIONS[os.environ["SHIFT_OPTION"]], int(os.environ["SHIFT_BY"])
if option.__name__ == "Plateau":
    observe = PlateauTracker.observe
    PlateauTracker.observe = lambda self, metric, k: observe(self, metric, k - shift)
else:
    original = option.curve

    def shifted(self, span, key):
        curve = original(self, span, key)
        momentum = span.notes.momentum
        if momentum is not None:
            span.notes.momentum = lambda k: momentum(max(k + shift, 0))
        return lambda k, base_lr: curve(max(k + shift, 0), base_lr)

    option.curve = shifted
"""


def main() -> int:
    """Runs every mutation; returns 1 if one was not noticed."""
    lines = ["| schedule | shifted by | first test that fails |", "| --- | --- | --- |"]
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "shift_plugin.py").write_text(PLUGIN)
        for name in OPTIONS:
            for shift in (1, -1):
                failed = first_failure(name, shift, folder)
                if failed is None and name != "constant":  # nothing can show on a level line
                    missed += 1
                lines.append(f"| `{name}` | {shift:+d} | {failed or 'none'} |")
                print(lines[-1], flush=True)
    TARGET.write_text("\n".join(lines) + "\n")
    print(f"{missed} mutations were not noticed")
    return 1 if missed else 0


def first_failure(name: str, shift: int, folder: str) -> str | None:
    """The first test that fails with this schedule shifted; None: all pass."""
    path = os.pathsep.join([folder, str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "SHIFT_OPTION": name, "SHIFT_BY": str(shift)}
    command = [sys.executable, "-m", "pytest", "-x", "--tb=no", "-p", "shift_plugin", *TESTS]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", done.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(done.stdout + done.stderr)
    return found[1].replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
