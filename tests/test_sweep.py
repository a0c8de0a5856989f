"""A sweep loses nothing, runs nothing twice and says what it came to."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from comparison import assert_equal_runs
from faults import SignalAt
from processes import TINY, Trainer, train
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

from trainer import event_folder

ROOT = Path(__file__).parent.parent
JOBS = [*TINY, "epochs=2", "-m", "seed=3,4,5", "hydra.sweep.dir=sweep"]


def jobs(folder: Path) -> list[dict[str, object]]:
    return json.loads((folder / "sweep.json").read_text())["jobs"]


def statuses(folder: Path) -> list[object]:
    return [job["status"] for job in jobs(folder)]


def sweep_command(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trainer.sweep", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    process = train(JOBS, folder)
    (folder / "out").write_text(process.out)
    return folder


def test_a_sweep_says_where_it_is_and_ends_in_a_report(whole: Path) -> None:
    out = (whole / "out").read_text()
    assert "[....................] job 0 of 3 (seed=3)" in out
    assert "[######..............] job 1 of 3 (seed=4), about" in out
    assert "sweep: 3 of 3 jobs done; " in out
    assert "report/report.html" in out
    for name in ("report.html", "report.md", "report.csv"):
        assert (whole / "sweep" / "report" / name).exists()
    assert statuses(whole / "sweep") == ["done"] * 3
    for job in jobs(whole / "sweep"):
        assert 0 <= job["value"] <= 1
        assert job["folder"] == str(job["number"])


def test_a_job_of_a_sweep_equals_the_same_run_alone(whole: Path, tmp_path: Path) -> None:
    train([*TINY, "epochs=2", "seed=5", "hydra.run.dir=alone"], tmp_path)
    assert_equal_runs(tmp_path / "alone", whole / "sweep" / "2")


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_sweep_killed_in_the_middle_goes_on_with_the_same_command(
    number: int, whole: Path, tmp_path: Path
) -> None:
    place = SignalAt("history.py", "advance", 12 + 8, number)  # in the second epoch of job 1
    process = Trainer(JOBS, tmp_path, prepare=place)
    assert process.code() == (143 if number == signal.SIGTERM else -9), process.err
    left = "stopped" if number == signal.SIGTERM else "running"
    assert statuses(tmp_path / "sweep") == ["done", left, "waiting"]
    done = {f: f.stat().st_mtime_ns for f in (tmp_path / "sweep" / "0").rglob("*") if f.is_file()}
    status = sweep_command(["status", "sweep"], tmp_path)
    assert status.returncode == 0, status.stderr
    lines = status.stdout.splitlines()
    assert lines[0].split() == ["job", "state", "epoch", "result", "time", "overrides"]
    assert lines[1].split()[:3] == ["0", "done", "2"]
    assert lines[2].split()[1] == ("stopped" if number == signal.SIGTERM else "interrupted")
    assert lines[3].split()[1] == "waiting"
    again = train(JOBS, tmp_path)
    assert "job 0 of 3 (seed=3): done before" in again.out
    assert "resumed from" in again.out
    assert statuses(tmp_path / "sweep") == ["done"] * 3
    for file, changed in done.items():
        if ".hydra" not in file.parts:  # Hydra writes its record before it asks us
            assert file.stat().st_mtime_ns == changed, file
    for job in range(3):
        assert_equal_runs(whole / "sweep" / str(job), tmp_path / "sweep" / str(job))


def test_a_failed_job_is_noted_and_retried_without_repeating_the_command(tmp_path: Path) -> None:
    command = [*TINY, "epochs=1", "-m", "optimizer.lr=0.01,1e30,0.02", "hydra.sweep.dir=sweep"]
    process = train(command, tmp_path, expect=1)
    assert statuses(tmp_path / "sweep") == ["done", "failed", "done"]
    assert "the loss is" in str(jobs(tmp_path / "sweep")[1]["error"])
    assert "python -m trainer.sweep retry" in process.out
    retried = sweep_command(["retry", "sweep"], tmp_path)
    assert retried.returncode == 1
    assert retried.stdout.count("done before") == 2
    assert "failed: job 1 (optimizer.lr=1e+30): the loss is" in retried.stdout


def test_a_done_job_whose_checkpoint_is_damaged_is_not_skipped(whole: Path, tmp_path: Path) -> None:
    train(JOBS, tmp_path)
    newest = tmp_path / "sweep" / "1" / "checkpoints" / "step_00000012.pt"
    newest.write_bytes(newest.read_bytes()[:-1])
    again = train(JOBS, tmp_path)
    assert again.out.count("done before") == 2
    for job in range(3):
        assert_equal_runs(whole / "sweep" / str(job), tmp_path / "sweep" / str(job))


def test_tensorboard_shows_each_job_once_under_a_readable_name(whole: Path) -> None:
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(whole / "sweep"))
    multiplexer.Reload()
    runs = multiplexer.Runs()
    assert sorted(runs) == [f"{n}/tensorboard/seed={seed}" for n, seed in enumerate((3, 4, 5))]
    for name in runs:
        assert [event.step for event in multiplexer.Tensors(name, "test/accuracy")] == [6, 12]


def test_a_name_for_tensorboard_is_one_that_a_folder_can_have(tmp_path: Path) -> None:
    for number, text in enumerate(["data.root=/a/b", "x" * 400, "scheduler=recipe/steplr", "..."]):
        run = tmp_path / str(number)
        event_folder.name(run, text)
        place = event_folder.find(run)
        place.mkdir(parents=True, exist_ok=True)
        assert place.relative_to(run / "tensorboard").parts == place.parts[len(run.parts) + 1 :]
        assert len(place.relative_to(run).parts) == (1 if text == "..." else 2)


def test_what_is_no_sweep_is_one_line(tmp_path: Path) -> None:
    for command in ("status", "retry"):
        refused = sweep_command([command, str(tmp_path)], tmp_path)
        assert refused.returncode == 2
        assert "is no sweep's folder: it holds no sweep.json" in refused.stderr
        assert refused.stderr.count("\n") == 1
    (tmp_path / "sweep.json").write_text("{")
    refused = sweep_command(["status", str(tmp_path)], tmp_path)
    assert "cannot be read as a sweep's ledger" in refused.stderr
