"""The speed comparison as a user runs it, in the smallest size."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTESTANTS = [
    "ours",
    "ours, torchvision loader",
    "frozen batch",
    "plain loop, 0 workers",
    "plain loop, 2 workers",
    "plain loop, bf16 + channels_last, 0 workers",
    "plain loop, bf16 + channels_last, 2 workers",
]


def bench(folder: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    # One thread: two that wait for each other crawl on a machine with other work.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("CIFAR10_ROOT", None)
    result = folder / "result.json"
    sizes = ["--steps", "2", "--repeats", "1", "--images", "640", "--json", str(result)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "bench.py"), *arguments, *sizes],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not list(folder.glob(".bench-*")), "temporary files are left behind"
    return done.stdout, json.loads(result.read_text())


def test_training_gives_a_table_the_ratios_and_json(tmp_path: Path) -> None:
    text, results = bench(tmp_path)
    result = results["train"]
    assert "synthetic" in result["data"]
    assert "data: synthetic" in text
    assert "equivalence: 5 fp32 updates" in text
    assert result["equivalence"]["weight_gap"] <= 2e-6
    assert [row["name"] for row in result["rows"]] == CONTESTANTS
    for row in result["rows"]:
        assert len(row["all_ms"]) == 2
        assert 0 < row["min_ms"] <= row["median_ms"] <= row["max_ms"]
        assert any(line.startswith(f"{row['name']}  ") for line in text.splitlines())
    rows = {row["name"]: row["median_ms"] for row in result["rows"]}
    speed, fast, tax, loader = result["figures"]
    best = min(rows[name] for name in CONTESTANTS[3:5])
    assert speed["value"] == pytest.approx(best / rows["ours"])
    assert speed["met"] is (speed["value"] >= 2)
    best = min(rows[name] for name in CONTESTANTS[5:])
    assert fast["value"] == pytest.approx(best / rows["ours"])
    assert tax["value"] == pytest.approx(rows["ours"] / rows["frozen batch"] - 1)
    assert loader["value"] == pytest.approx(rows["ours"] / rows["ours, torchvision loader"])
    assert all(figure["name"] in text for figure in result["figures"])


def test_commits_are_compared_with_bare_writes_of_as_many_bytes(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"train": {"kept": true}}')
    text, results = bench(tmp_path, "checkpoint")
    assert results["train"] == {"kept": True}
    result = results["checkpoint"]
    weights_and_momentum = 2 * 4 * 688_224
    assert result["bytes"] > weights_and_momentum
    rows = {row["name"]: row for row in result["rows"]}
    assert list(rows) == ["update", "commit", "bare"]
    assert all(row["min_ms"] <= row["p95_ms"] <= row["max_ms"] for row in rows.values())
    assert result["epoch_ms"] == pytest.approx(5 * rows["update"]["median_ms"])
    assert result["figures"][1]["value"] == rows["commit"]["median_ms"] / result["epoch_ms"]
    assert "share: commit / epoch" in text
