"""A job of a sweep may fail in any way: the others run, and it leaves nothing behind."""

from pathlib import Path

import pytest
from processes import TINY, Trainer
from sweep_folders import statuses, summary

from trainer.sweep.jobs import state

# Loaded by each job as a plugin: raises SystemExit at a step of job 1, as a library might.
LEAVE = """
import os, sys

def profile(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "advance":
        if frame.f_code.co_filename.endswith(f"{os.sep}history.py"):
            sys.setprofile(None)
            raise SystemExit(CODE)

if any(word.startswith("hydra.run.dir=") and word.endswith("/1'") for word in sys.argv):
    sys.setprofile(profile)
"""
# The same for memory: two GiB more than each job has at its start.
MEMORY = """
import os, resource, sys
from pathlib import Path

if any(word.startswith("hydra.run.dir=") for word in sys.argv):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * 2**30, resource.RLIM_INFINITY))
"""


def sweep(folder: Path, arguments: list[str], fault: str) -> Trainer:
    (folder / "fault.py").write_text(fault)
    command = [*TINY, "epochs=1", "plugins=fault", "-m", *arguments, "hydra.sweep.dir=sweep"]
    process = Trainer(command, folder)
    assert process.code() == 1, process.err
    return process


@pytest.mark.parametrize("code", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_job_that_leaves_the_process_fails_alone(code: int, tmp_path: Path) -> None:
    process = sweep(tmp_path, ["seed=1,2,3"], LEAVE.replace("CODE", str(code)))
    folder = tmp_path / "sweep"
    assert statuses(folder) == ["done", "failed", "done"]
    assert state(folder / "1").error == f"SystemExit: {code}"
    assert summary(folder / "1")["status"] == "failed"
    assert f"failed: job 1 (seed=2): SystemExit: {code}" in process.out


def test_a_job_out_of_memory_fails_alone(tmp_path: Path) -> None:
    big = ["batch_size=20000", "data.drop_last=false", "amp=none", "data.train_images=20000,40"]
    sweep(tmp_path, big, MEMORY)
    folder = tmp_path / "sweep"
    assert statuses(folder) == ["failed", "done"]
    error = str(state(folder / "0").error)
    assert error.startswith("batch_size=20000: the machine is out of memory")
