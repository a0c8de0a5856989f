"""The suite that compares one process with two, in its smallest size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_two_processes_are_compared_with_one(tmp_path: Path) -> None:
    sizes = ["--steps", "1", "--repeats", "1", "--images", "64", "--batch-size", "8"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("CIFAR10_ROOT", None)
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "bench.py"), "distributed", *sizes,
         "--json", "result.json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())["distributed"]
    rows = {row["name"]: row for row in result["rows"]}
    for count in ("1 process", "2 processes"):
        for what in ("update", "without exchange", "bare exchange", "start"):
            assert rows[f"batch 8, {count}: {what}"]["median_ms"] > 0
    (gain, efficiency, share) = result["figures"]
    assert efficiency["value"] == pytest.approx(gain["value"] / 2)
    assert share["value"] < 1
