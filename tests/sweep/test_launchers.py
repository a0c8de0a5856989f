"""Jobs side by side: what each computes, and what is left when one or all are stopped."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from comparison import assert_equal_runs
from processes import TINY, Trainer, train

from trainer.__main__ import main
from trainer.config.overrides import compose_run
from trainer.sweep.launchers import fitted

ROOT = Path(__file__).parents[2]
LONG = "epochs=2000"


def jobs(folder: Path) -> list[dict[str, object]]:
    try:
        return json.loads((folder / "sweep.json").read_text())["jobs"]
    except FileNotFoundError:
        return []


def statuses(folder: Path) -> list[object]:
    return [job["status"] for job in jobs(folder)]


def wait_until(there: Callable[[], object], process: Trainer, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end or not process.process.is_alive():
            raise TimeoutError(f"{process.out}\n{process.err}")
        time.sleep(0.02)


def training(run: Path) -> bool:
    """Whether it has come to its second epoch."""
    return (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").read_text().count("\n") > 0


def needs(module: str) -> None:
    pytest.importorskip(module, reason="the extra `sweep` is not installed")


def test_jobs_side_by_side_equal_the_same_runs_alone_and_outlive_a_killed_one(
    tmp_path: Path,
) -> None:
    needs("hydra_plugins.hydra_joblib_launcher")
    command = [*TINY, "-m", "epochs=2000,2", "hydra/launcher=joblib", "hydra.sweep.dir=sweep"]
    process = Trainer(command, tmp_path)
    sweep = tmp_path / "sweep"
    wait_until(lambda: training(sweep / "0"), process)
    os.kill(int(str(jobs(sweep)[0]["pid"])), signal.SIGKILL)
    assert process.code() == 1, process.err
    assert statuses(sweep) == ["failed", "done"]
    assert jobs(sweep)[0]["error"] == "killed by SIGKILL"
    assert "failed: job 0 (epochs=2000): killed by SIGKILL" in process.out
    two = len(os.sched_getaffinity(0)) > 1
    assert f"joblib: {1 + two} jobs at once, a thread each" in process.out
    assert "1 thread" in json.loads((sweep / "1" / "summary.json").read_text())["device"]
    train([*TINY, "epochs=2", "hydra.run.dir=alone"], tmp_path)
    assert_equal_runs(tmp_path / "alone", sweep / "1")


@pytest.mark.slow
def test_a_stop_of_the_sweep_reaches_its_jobs_and_starts_no_more(tmp_path: Path) -> None:
    needs("hydra_plugins.hydra_joblib_launcher")
    command = [*TINY, LONG, "-m", "seed=1,2,3,4,5", "hydra/launcher=joblib"]
    command += ["hydra.sweep.dir=sweep", "hydra.launcher.n_jobs=1"]
    process = Trainer(command, tmp_path)
    sweep = tmp_path / "sweep"
    wait_until(lambda: training(sweep / "0"), process)
    process.kill(signal.SIGTERM)
    assert process.code() == 143, process.err
    assert "SIGTERM: the jobs that run (1) save and stop" in process.err
    assert statuses(sweep) == ["stopped", *["waiting"] * 4]
    assert json.loads((sweep / "0" / "summary.json").read_text())["status"] == "stopped"


@pytest.mark.slow
def test_jobs_of_a_killed_sweep_stop_by_themselves(tmp_path: Path) -> None:
    needs("hydra_plugins.hydra_joblib_launcher")
    command = [*TINY, "-m", LONG, "hydra/launcher=joblib", "hydra.sweep.dir=sweep"]
    process = Trainer(command, tmp_path)
    sweep = tmp_path / "sweep"
    wait_until(lambda: training(sweep / "0"), process)
    process.kill(signal.SIGKILL)
    end = time.monotonic() + 60
    while statuses(sweep) != ["stopped"]:
        assert time.monotonic() < end, (sweep / "0" / "screen.log").read_text()
        time.sleep(0.1)


@pytest.mark.slow
def test_a_preempted_submitit_job_commits_and_goes_on_in_the_queue(tmp_path: Path) -> None:
    needs("hydra_plugins.hydra_submitit_launcher")
    command = [*TINY, "-m", "epochs=20", "hydra/launcher=submitit_local", "hydra.sweep.dir=sweep"]
    process = Trainer(command, tmp_path)
    sweep = tmp_path / "sweep"
    wait_until(lambda: training(sweep / "0"), process)
    os.kill(int(str(jobs(sweep)[0]["pid"])), signal.SIGUSR2)
    assert process.code() == 0, process.err
    assert statuses(sweep) == ["done"]
    log = (sweep / "0" / "trainer.log").read_text()
    assert "stopped by SIGUSR2" in log
    assert "resumed from" in log
    train([*TINY, "epochs=20", "hydra.run.dir=alone"], tmp_path)
    assert_equal_runs(tmp_path / "alone", sweep / "0")


@pytest.mark.slow
def test_a_submitit_job_that_is_terminated_commits_and_is_retried(tmp_path: Path) -> None:
    needs("hydra_plugins.hydra_submitit_launcher")
    command = [*TINY, "-m", "epochs=20", "hydra/launcher=submitit_local", "hydra.sweep.dir=sweep"]
    process = Trainer(command, tmp_path)
    sweep = tmp_path / "sweep"
    wait_until(lambda: training(sweep / "0"), process)
    os.kill(int(str(jobs(sweep)[0]["pid"])), signal.SIGTERM)
    assert process.code() == 1, process.err
    assert statuses(sweep) == ["stopped"]
    train(command, tmp_path)
    assert statuses(sweep) == ["done"]
    train([*TINY, "epochs=20", "hydra.run.dir=alone"], tmp_path)
    assert_equal_runs(tmp_path / "alone", sweep / "0")


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
        os.kill(int(str(jobs(sweep)[0]["pid"])), signal.SIGUSR2)
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
    assert "stopped by SIGUSR2" in (sweep / "0" / "trainer.log").read_text()
    assert statuses(sweep) == ["stopped"]


def test_more_jobs_at_once_than_cores_are_refused(tmp_path: Path) -> None:
    needs("hydra_plugins.hydra_joblib_launcher")
    command = [*TINY, "-m", "seed=1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=999"]
    process = train(command, tmp_path, expect=2)
    assert "hydra.launcher.n_jobs=999: this machine has" in process.err
    assert process.err.count("\n") == 1


@pytest.mark.parametrize(
    ("module", "argument"),
    [
        ("hydra_plugins.hydra_joblib_launcher", "hydra/launcher=joblib"),
        ("hydra_plugins.hydra_submitit_launcher", "hydra/launcher=submitit_slurm"),
        ("hydra_plugins.hydra_optuna_sweeper", "hydra/sweeper=optuna"),
        ("hydra_plugins.hydra_optuna_sweeper", "search=lr"),
    ],
)
def test_a_missing_package_is_one_line_that_names_the_extra(module: str, argument: str) -> None:
    code = (
        f"import sys; sys.modules['{module}'] = None; from trainer.__main__ import main; "
        f"sys.exit(main(['-m', 'data=synthetic', '{argument}']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"{argument}: needs the extra `sweep`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_mistyped_search_is_not_taken_for_a_missing_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "hydra_plugins.hydra_optuna_sweeper", None)
    assert main(["-m", "search=lrr"]) == 2
    assert "search=lrr: there is no search lrr; did you mean lr?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("visible", "count", "gpus"),
    [
        (None, 2, ("0", "1")),
        ("-1", 0, ()),
        ("0", 0, ()),  # a machine without one
        ("", 0, ()),
        ("2, 3", 2, ("2", "3")),
        ("1,-1,0", 1, ("1",)),  # what comes behind a name that is none does not count
        ("GPU-8932f937", 1, ("GPU-8932f937",)),
    ],
)
def test_jobs_get_as_many_gpus_as_torch_sees(
    visible: str | None, count: int, gpus: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    composed = compose_run(["data=synthetic"])
    launch = fitted(launched("joblib"), [], [composed.config] * 9, search=False)
    assert launch.gpus == gpus
    assert launch.at_once == min(len(gpus) or len(os.sched_getaffinity(0)), 9)


def launched(launcher: str) -> SimpleNamespace:
    """As much of Hydra's configuration as is read."""
    choices = {"hydra/launcher": launcher}
    return SimpleNamespace(
        runtime=SimpleNamespace(choices=choices), sweeper=SimpleNamespace(n_jobs=1), launcher={}
    )


def test_each_job_has_a_gpu_of_its_own_while_there_is_one(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from trainer.sweep.sweep_task import gpu\n"
        "with gpu(('a', 'b'), int(sys.argv[1]), pathlib.Path('.')) as name:\n"
        "    print(name, flush=True); sys.stdin.read()\n"
    )

    def start(number: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code, str(number)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def name(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    first, second = start(0), start(2)
    names = {name(first), name(second)}
    assert names == {"a", "b"}  # both would begin with the first
    third = start(3)
    assert name(third) == "b"  # more jobs than GPUs share them
    first.communicate("")
    for process in (second, third):
        process.communicate("")
