"""Jobs in processes of their own: what each gets, and what is left when one or all are stopped."""

import os
import signal
from pathlib import Path

import pytest
import torch
from comparison import assert_equal_runs
from processes import TINY, Trainer, train
from sweep_folders import LINEAR, pid_of, statuses, summary, training, wait_until

from trainer.__main__ import main
from trainer.config.overrides import compose_run
from trainer.storage import files
from trainer.sweep.jobs import Listed
from trainer.sweep.processes import Processes
from trainer.sweep.progress import Progress
from trainer.sweep.slots import Slots, fitted

LONG = "epochs=2000"
CORES = len(os.sched_getaffinity(0))
two_cores = pytest.mark.skipif(CORES < 2, reason="needs two cores")


def begun(sweep: Path, *runs: int, process: Trainer) -> None:
    """Waits until these jobs train."""
    for run in runs:
        wait_until(lambda run=run: training(sweep / str(run)), process)


@two_cores
def test_jobs_side_by_side_equal_the_same_runs_alone_and_outlive_a_killed_one(
    tmp_path: Path,
) -> None:
    command = [*TINY, "-m", "epochs=2000,2,3", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep"]
    process, sweep = Trainer(command, tmp_path), tmp_path / "sweep"
    begun(sweep, 0, process=process)
    assert statuses(sweep)[0] == "running"
    os.kill(pid_of(sweep / "0"), signal.SIGKILL)
    assert process.code() == 1, process.err
    assert statuses(sweep) == ["interrupted", "done", "done"]
    assert "failed: job 0 (epochs=2000): killed by SIGKILL" in process.out
    assert "processes: 2 jobs at once, " in process.out
    assert "run folder:" not in process.out, "what jobs side by side print is in their screen.log"
    assert "run folder:" in (sweep / "1" / "screen.log").read_text()
    train([*TINY, "epochs=3", "hydra.run.dir=alone"], tmp_path)
    alone = tmp_path / "alone"
    if summary(alone)["device"] == summary(sweep / "2")["device"]:  # as many threads
        assert_equal_runs(alone, sweep / "2")


@two_cores
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_stop_reaches_every_job_once_and_starts_no_more(number: int, tmp_path: Path) -> None:
    command = [
        *TINY,
        LONG,
        "-m",
        "seed=1,2,3,4",
        "hydra.launcher.n_jobs=2",
        "hydra.sweep.dir=sweep",
    ]
    process, sweep = Trainer(command, tmp_path), tmp_path / "sweep"
    begun(sweep, 0, 1, process=process)
    process.kill(number)
    assert process.code() == 128 + number, process.err
    name = signal.Signals(number).name
    assert f"{name}: the jobs that run (2) save and stop" in process.err
    assert statuses(sweep) == ["stopped", "stopped", "waiting", "waiting"]
    for job in ("0", "1"):
        assert (sweep / job / "trainer.log").read_text().count(f"stopped by {name}") == 1
    assert "sweep: 0 of 4 jobs done" in process.out


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    command = [*TINY, LONG, "-m", "seed=1,2", "hydra.sweep.dir=sweep"]
    process, sweep = Trainer(command, tmp_path), tmp_path / "sweep"
    begun(sweep, 0, process=process)
    job = pid_of(sweep / "0")
    os.kill(job, signal.SIGSTOP)  # it cannot save yet
    process.kill(signal.SIGINT)
    wait_until(lambda: "save and stop" in process.err, process)
    process.kill(signal.SIGINT)
    assert process.code(seconds=10) == 130, process.err
    os.kill(job, signal.SIGCONT)
    wait_until(lambda: not files.in_use(sweep / "0"), None, seconds=20)
    assert statuses(sweep) == ["stopped", "waiting"]


def test_jobs_of_a_killed_sweep_save_and_stop_by_themselves(tmp_path: Path) -> None:
    command = [*TINY, LONG, "-m", "seed=1,2", "hydra.sweep.dir=sweep"]
    process, sweep = Trainer(command, tmp_path), tmp_path / "sweep"
    begun(sweep, 0, process=process)
    process.kill(signal.SIGKILL)
    wait_until(lambda: not files.in_use(sweep / "0"), None, seconds=20)
    assert statuses(sweep) == ["stopped", "waiting"]


def test_a_sweep_holds_nothing_of_its_jobs(tmp_path: Path) -> None:
    command = [*LINEAR, "epochs=1", "-m", "seed=range(6)", "hydra.sweep.dir=sweep"]
    process, sweep = Trainer(command, tmp_path), tmp_path / "sweep"
    seen: list[tuple[int, int]] = []
    for number in range(1, 6):
        process.wait_for(f"run folder: {sweep / str(number)}\n")  # the sweep waits for it
        pid = process.process.pid
        files_, threads = (len(os.listdir(f"/proc/{pid}/{of}")) for of in ("fd", "task"))
        seen.append((files_, threads))
    assert process.code() == 0, process.err
    assert max(seen) == seen[0], seen
    assert statuses(sweep) == ["done"] * 6


@two_cores
@pytest.mark.slow
def test_a_job_of_two_processes_is_torchruns_and_stops_as_others_do(tmp_path: Path) -> None:
    two = "hydra.launcher.processes_per_job=2"
    command = [*TINY, "epochs=2", "-m", "seed=3,4", two, "hydra.sweep.dir=sweep"]
    train(command, tmp_path)
    assert statuses(tmp_path / "sweep") == ["done", "done"]
    assert "2 processes" in (tmp_path / "sweep" / "1" / "trainer.log").read_text()
    long = [*TINY, LONG, "-m", "seed=3,4", two, "hydra.sweep.dir=long"]
    process, sweep = Trainer(long, tmp_path), tmp_path / "long"
    begun(sweep, 0, process=process)
    process.kill(signal.SIGTERM)
    assert process.code() == 143, process.err
    assert statuses(sweep) == ["stopped", "waiting"]
    process = Trainer(long, tmp_path)
    before = len((sweep / "0" / "metrics.jsonl").read_text())
    wait_until(lambda: len((sweep / "0" / "metrics.jsonl").read_text()) > before, process)
    process.kill(signal.SIGKILL)
    wait_until(lambda: not files.in_use(sweep / "0"), None, seconds=30)
    assert statuses(sweep) == ["stopped", "waiting"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("hydra.launcher.n_jobs=999", "hydra.launcher.n_jobs=999: this machine has"),
        ("hydra.launcher.n_jobs=0", "hydra.launcher.n_jobs=0: must be a whole number, at least 1"),
        (
            "hydra.launcher.n_jobs=many",
            "n_jobs=many: must be a whole number",
        ),
        (
            "hydra.launcher.processes_per_job=0",
            "processes_per_job=0: must be a whole",
        ),
        ("hydra.launcher.processes_per_job=99", "of 99 processes; at most 0 run at once"),
        ("hydra.launcher.jobs=2", "hydra.launcher.jobs=2: "),
    ],
)
def test_more_than_the_machine_carries_is_refused(
    asked: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main([*LINEAR, "-m", "seed=1,2", asked]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


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
    configs = [compose_run(["data=synthetic"]).config] * 9
    slots = fitted({"n_jobs": -1}, configs, 9)
    assert slots.gpus == gpus
    assert slots.count == min(len(gpus) or CORES, 9)
    own = [slots.environment(slot).get("CUDA_VISIBLE_DEVICES") for slot in range(slots.count)]
    assert own == (list(gpus) or [None] * slots.count)


@pytest.mark.parametrize(
    ("cores", "gpus", "asked", "slots"),
    [
        (8, 0, {"n_jobs": 1}, Slots()),
        (8, 0, {"n_jobs": 4}, Slots(4, 1, 2)),
        (8, 0, {"n_jobs": -1}, Slots(8, 1, 1)),
        (8, 0, {"n_jobs": 2, "processes_per_job": 3}, Slots(2, 3, 1)),
        (8, 0, {"n_jobs": -1, "processes_per_job": 3}, Slots(2, 3, 1)),
        (8, 4, {"n_jobs": 2, "processes_per_job": 2}, Slots(2, 2, 2, ("0", "1", "2", "3"))),
        (8, 4, {"n_jobs": -1, "processes_per_job": 2}, Slots(2, 2, 2, ("0", "1", "2", "3"))),
        (2, 4, {"n_jobs": 4}, Slots(4, 1, 1, ("0", "1", "2", "3"))),
        (8, 2, {"n_jobs": 4}, Slots(4, 1, 2, ("0", "1"))),  # more jobs than GPUs share them
    ],
)
def test_slots_never_exceed_the_machine(
    cores: int, gpus: int, asked: dict[str, object], slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    configs = [compose_run(["data=synthetic"]).config]
    found = fitted(asked, configs, 9)
    assert found == slots
    if found.threads is not None:
        assert found.count * found.processes * found.threads <= max(cores, found.count)
    for slot in range(found.count if gpus else 0):
        own = found.environment(slot)["CUDA_VISIBLE_DEVICES"].split(",")
        assert len({*own}) == found.processes


def test_threads_that_the_user_set_are_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    configs = [compose_run(["data=synthetic", "device=cpu"]).config]
    assert fitted({"n_jobs": 2}, configs, 9).threads == 3
    assert fitted({"n_jobs": 4}, configs, 9).threads == 2


def test_a_sweep_without_jobs_ends(tmp_path: Path) -> None:
    assert Processes(Progress(tmp_path, Listed([])), Slots()).run() is None
