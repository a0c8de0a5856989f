"""A job of a sweep may fail in any way: the others run, and it leaves nothing behind."""

import json
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from processes import TINY, Trainer

PROBE = ["+hydra.callbacks.probe._target_=live_objects.Probe", "+hydra.callbacks.probe.output=rows"]


@dataclass
class LeaveAt:
    """Raises SystemExit at the n-th step of the process, as a library might."""

    n: int
    code: int

    def __call__(self) -> None:
        seen = 0

        def profile(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal seen
            ours = frame.f_code.co_filename.endswith(f"{os.sep}history.py")
            if event == "call" and frame.f_code.co_name == "advance" and ours:
                seen += 1
                if seen == self.n:
                    sys.setprofile(None)
                    raise SystemExit(self.code)

        sys.setprofile(profile)


def little_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * 2**30, resource.RLIM_INFINITY))


def sweep(folder: Path, arguments: list[str], *, expect: int, prepare: Any = None) -> list[Any]:
    command = [*TINY, "epochs=1", "-m", *arguments, "hydra.sweep.dir=sweep"]
    process = Trainer(command, folder, prepare=prepare)
    assert process.code() == expect, process.err
    return json.loads((folder / "sweep" / "sweep.json").read_text())["jobs"]


@pytest.mark.parametrize("code", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_job_that_leaves_the_process_fails_alone(code: int, tmp_path: Path) -> None:
    jobs = sweep(tmp_path, ["seed=1,2,3"], expect=1, prepare=LeaveAt(6 + 2, code))
    assert [job["status"] for job in jobs] == ["done", "failed", "done"]
    assert jobs[1]["error"] == f"SystemExit: {code}"
    assert json.loads((tmp_path / "sweep" / "1" / "summary.json").read_text())["status"] == "failed"


def test_a_job_out_of_memory_fails_alone_and_its_memory_is_free_for_the_next(
    tmp_path: Path,
) -> None:
    big = ["batch_size=20000", "data.drop_last=false", "amp=none", "data.train_images=20000,40"]
    jobs = sweep(tmp_path, [*big, *PROBE], expect=1, prepare=little_memory)
    assert [job["status"] for job in jobs] == ["failed", "done"]
    assert jobs[0]["error"].startswith("batch_size=20000: the machine is out of memory")
    rows = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert [row["runs"] for row in rows] == [0, 0]
    assert [row["models"] for row in rows] == [0, 0]


def test_jobs_leave_no_run_no_tensor_and_no_open_file_behind(tmp_path: Path) -> None:
    # each third fails: its error must not keep its run
    lrs = "optimizer.lr=" + ",".join(["0.01", "0.02", "1e30"] * 2 + ["0.03", "0.04"])
    jobs = sweep(tmp_path, [lrs, *PROBE], expect=1)
    assert [job["status"] for job in jobs].count("failed") == 2
    rows = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert len(rows) == 8
    assert {row["runs"] for row in rows} == {0}
    assert {row["models"] for row in rows} == {0}
    assert rows[-1]["tensors"] <= rows[1]["tensors"]
    assert rows[-1]["files"] == rows[1]["files"]
