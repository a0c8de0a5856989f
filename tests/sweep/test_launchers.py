"""Hydra's own launchers start the same command: what signals do to it, and what is missing."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from comparison import assert_equal_runs
from processes import TINY, Trainer, train
from sweep_folders import ROOT, pid_of, statuses, sweep_command, training, wait_until

from trainer.__main__ import main
from trainer.storage import files

LONG = "epochs=2000"
EPOCHS = "epochs=40"
LOCAL = [*TINY, "-m", EPOCHS, "hydra/launcher=submitit_local", "hydra.sweep.dir=sweep"]


def needs(module: str) -> None:
    pytest.importorskip(module, reason="the extra `sweep` is not installed")


def ancestors(pid: int) -> list[int]:
    """The parent of a process, its parent, and so on."""
    found: list[int] = []
    while pid > 1:
        stat = Path(f"/proc/{pid}/stat").read_text()
        pid = int(stat.rpartition(")")[2].split()[1])
        found.append(pid)
    return found


def worker_of(run: Path) -> int:
    """submitit's process that has a job: the one whose command line names it."""
    for pid in ancestors(pid_of(run)):
        if b"submitit.core._submit" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise AssertionError("no process of submitit's is above the job's")


@pytest.mark.slow
def test_a_preempted_submitit_job_saves_and_goes_on_in_the_queue(tmp_path: Path) -> None:
    needs("hydra_plugins.hydra_submitit_launcher")
    process, sweep = Trainer(LOCAL, tmp_path), tmp_path / "sweep"
    wait_until(lambda: training(sweep / "0"), process)
    os.kill(worker_of(sweep / "0"), signal.SIGUSR2)
    assert process.code() == 0, process.err
    assert statuses(sweep) == ["done"]
    log = (sweep / "0" / "trainer.log").read_text()
    assert "stopped by SIGTERM" in log
    assert "resumed from" in log
    train([*TINY, EPOCHS, "hydra.run.dir=alone"], tmp_path)
    assert_equal_runs(tmp_path / "alone", sweep / "0")


@pytest.mark.slow
@pytest.mark.parametrize("to_worker", [False, True])
def test_a_submitit_job_that_is_terminated_saves_and_is_retried(
    to_worker: bool, tmp_path: Path
) -> None:
    needs("hydra_plugins.hydra_submitit_launcher")
    process, sweep = Trainer(LOCAL, tmp_path), tmp_path / "sweep"
    wait_until(lambda: training(sweep / "0"), process)
    os.kill((worker_of if to_worker else pid_of)(sweep / "0"), signal.SIGTERM)
    assert process.code() == 1, process.err
    assert statuses(sweep) == ["stopped"]
    train(LOCAL, tmp_path)
    assert statuses(sweep) == ["done"]
    train([*TINY, EPOCHS, "hydra.run.dir=alone"], tmp_path)
    assert_equal_runs(tmp_path / "alone", sweep / "0")


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["sweep", "worker"])
def test_submitits_local_jobs_save_and_stop_without_who_started_them(
    whose: str, tmp_path: Path
) -> None:
    needs("hydra_plugins.hydra_submitit_launcher")
    long = [LONG if word == EPOCHS else word for word in LOCAL]
    batches = "hydra.sweeper.max_batch_size=1"
    process, sweep = Trainer([*long, "seed=1,2", batches], tmp_path), tmp_path / "sweep"
    wait_until(lambda: training(sweep / "0"), process)
    if whose == "worker":
        os.kill(worker_of(sweep / "0"), signal.SIGKILL)
        wait_until(lambda: not files.in_use(sweep / "0"), None, seconds=20)
    process.kill(signal.SIGTERM)
    assert process.code() == 143, process.err
    wait_until(lambda: not files.in_use(sweep / "0"), None, seconds=20)
    assert statuses(sweep)[0] == "stopped"


# Just enough of SLURM: the jobs of an array one after the other, at once, on this machine.
SBATCH = """#!/bin/bash
cp "$1" {folder}/submitted.sh
export SLURM_JOB_ID=77 SLURM_JOB_NUM_NODES=1
grep -q -- --array "$1" && export SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=0
export SLURM_NTASKS=1 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_JOB_NODELIST=here
(bash "$1" > {folder}/printed 2>&1; touch {folder}/over) > /dev/null 2>&1 < /dev/null &
echo "Submitted batch job 77"
"""
SRUN = """#!/bin/bash
while [[ "$1" == -* ]]; do case "$1" in --output|--error) shift 2 ;; *) shift ;; esac; done
exec "$@"
"""
SACCT = """#!/bin/bash
state=RUNNING; [ -e {folder}/over ] && state=COMPLETED
echo "JobID|State|NodeList"; echo "77|$state|here"; echo "77_0|$state|here"
"""
REQUEUE = """#!/bin/bash
echo "$@" > {folder}/requeued
"""


def test_slurm_gets_a_batch_file_that_signals_early_and_a_job_that_goes_back_into_its_queue(
    tmp_path: Path,
) -> None:
    needs("hydra_plugins.hydra_submitit_launcher")
    fakes = tmp_path / "bin"
    fakes.mkdir()
    texts = {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT, "scontrol": REQUEUE}
    for name, text in texts.items():
        (fakes / name).write_text(text.replace("{folder}", str(tmp_path)))
        (fakes / name).chmod(0o755)
    command = [*TINY, LONG, "-m", "seed=3", "hydra/launcher=submitit_slurm"]
    command += ["hydra.sweep.dir=sweep", "hydra.launcher.partition=gpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{fakes}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        sweep = tmp_path / "sweep"
        end = time.monotonic() + 300
        while not training(sweep / "0"):
            assert process.poll() is None
            assert time.monotonic() < end, (tmp_path / "printed").read_text()
            time.sleep(0.05)
        # a cluster sends it to every process of a job
        job = pid_of(sweep / "0")
        for pid in (job, worker_of(sweep / "0")):
            os.kill(pid, signal.SIGUSR2)
        while not (tmp_path / "over").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    batch = (tmp_path / "submitted.sh").read_text()
    assert "#SBATCH --partition=gpu" in batch
    assert re.search(r"#SBATCH --signal=USR2@\d+", batch)
    assert re.search(r"#SBATCH --time=1440", batch)
    assert (tmp_path / "requeued").read_text().startswith("requeue 77")
    assert "stopped by SIGTERM" in (sweep / "0" / "trainer.log").read_text()
    assert statuses(sweep) == ["stopped"]


@pytest.mark.slow
def test_joblib_runs_the_same_jobs(tmp_path: Path) -> None:
    needs("hydra_plugins.hydra_joblib_launcher")
    command = [*TINY, "-m", "epochs=2,1", "hydra/launcher=joblib", "hydra.sweep.dir=sweep"]
    process = train(command, tmp_path)
    assert "joblib: 2 jobs are handed over" in process.out
    assert statuses(tmp_path / "sweep") == ["done", "done"]


@pytest.mark.parametrize(
    ("module", "argument", "needed"),
    [
        ("hydra_plugins.hydra_joblib_launcher", "hydra/launcher=joblib", "hydra-joblib-launcher"),
        ("hydra_plugins.hydra_submitit_launcher", "hydra/launcher=submitit_slurm", "the extra"),
        ("optuna", "search=lr", "the extra `sweep`: pip install 'lr-trainer[sweep]'"),
    ],
)
def test_a_missing_package_is_one_line_that_names_what_to_install(
    module: str, argument: str, needed: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["-m", "data=synthetic", argument]) == 2
    err = capsys.readouterr().err
    assert f"{argument}: needs {needed}" in err
    assert err.count("\n") == 1


def test_a_mistyped_search_is_not_taken_for_a_missing_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["-m", "search=lrr"]) == 2
    assert "search=lrr: there is no search lrr; did you mean lr?" in capsys.readouterr().err


def test_a_launcher_that_fails_is_one_line(tmp_path: Path) -> None:
    needs("hydra_plugins.hydra_submitit_launcher")
    command = [*TINY, "-m", "seed=1", "hydra/launcher=submitit_slurm", "hydra.sweep.dir=sweep"]
    process = train(command, tmp_path, expect=1)  # there is no sbatch here
    assert process.err.startswith("trainer: error: submitit_slurm: ")
    assert process.err.count("\n") == 1
    assert sweep_command(["status", "sweep"], tmp_path).returncode == 0
    assert statuses(tmp_path / "sweep") == ["waiting"]
