"""A test that is not marked `cuda` runs as on a machine without a GPU, wherever it runs."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
# A machine with a GPU, as far as anybody can tell before computing on it.
GPU = """
import torch
torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: 2
"""
CASES = """
import os, subprocess, sys
import pytest, torch
from processes import Trainer
from trainer.training.device import choose_device

SEEN = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"

def seen_by_children(folder):
    plain = subprocess.run([sys.executable, "-c", SEEN], capture_output=True, text=True).stdout
    forked = Trainer(["--help"], folder, prepare=say)
    assert forked.code() == 0, forked.err
    return plain.strip(), forked.out.splitlines()[0]

def say():
    print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)

@pytest.fixture(scope="module")
def early():
    return choose_device("auto").type

def test_hidden(early, tmp_path):
    assert early == choose_device("auto").type == "cpu"
    assert torch.cuda.device_count() == 0
    assert seen_by_children(tmp_path) == ("", "")

@pytest.mark.cuda
def test_seen(tmp_path):
    assert torch.cuda.is_available()
    assert torch.cuda.device_count() == 2
    assert seen_by_children(tmp_path) == ("0,1", "0,1")

def test_hidden_again(tmp_path):
    assert choose_device("auto").type == "cpu"
    assert seen_by_children(tmp_path) == ("", "")
"""


def run(folder: Path, *plugins: str) -> str:
    (folder / "gpu.py").write_text(GPU)
    (folder / "test_cases.py").write_text(CASES)
    words = [word for plugin in (*plugins, "conftest") for word in ("-p", plugin)]
    command = [sys.executable, "-m", "pytest", *words, "-c", str(TESTS.parent / "pyproject.toml")]
    done = subprocess.run(
        [*command, "--rootdir", str(folder), "-p", "no:cacheprovider", "-rA", "test_cases.py"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (folder, TESTS, TESTS.parent))),
            "CUDA_VISIBLE_DEVICES": "0,1",
        },
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def test_only_a_marked_test_sees_the_gpu(tmp_path: Path) -> None:
    out = run(tmp_path, "gpu")
    assert "3 passed" in out, out


def test_a_marked_test_is_skipped_without_a_gpu(tmp_path: Path) -> None:
    out = run(tmp_path)
    assert "2 passed, 1 skipped" in out, out
    assert "no CUDA device" in out
