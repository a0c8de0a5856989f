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

from trainer.__main__ import main
from trainer.config.overrides import parse
from trainer.storage import files, run_folder
from trainer.storage.files import locked
from trainer.sweep import __main__, job_ledger, job_process, same_sweep, sweep_plan
from trainer.sweep.progress import SweepWatch
from trainer.training.attempt import Outcome

ROOT = Path(__file__).parents[2]
LINEAR = ["experiment=linear_regression", "device=cpu", "epochs=3"]
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


def plan(*arguments: str) -> job_ledger.Ledger:
    """A sweep as the door plans it."""
    return job_ledger.planned([], sweep_plan.listed(parse([*LINEAR, *arguments]))[1])


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("epochs=5", "its job 0 is epochs=3, here it would be epochs=5"),
        ("init=elsewhere", "its job 0 is init=null, here it would be init=/"),
        ("amp=bf16", "its job 0 is amp=none, here it would be amp=bf16"),
        ("early_stopping.patience=2", "its job 0 is early_stopping.patience=null, here it would"),
        ("checkpoint.monitor=test/loss", "its job 0 is checkpoint.monitor=auto, here it would"),
        ("optimizer.lr=0.2", "its job 0 is optimizer.lr=0.1, here it would be optimizer.lr=0.2"),
    ],
)
def test_a_sweeps_folder_is_for_one_experiment(change: str, difference: str) -> None:
    message = f"hydra.sweep.dir=sweep: belongs to another sweep: {difference}.*; another folder"
    with pytest.raises(FileExistsError, match=message):
        same_sweep.check(plan("seed=0,1"), plan("seed=0,1", change), Path("sweep"))


@pytest.mark.parametrize(
    ("before", "now", "difference"),
    [
        ("seed=0,1", "seed=0,2", "its job 1 is seed=1, here it would be seed=2"),
        ("seed=0,1", "seed=range(3)", "it has 2 jobs, here it would have 3"),
        ("name=a,b", "name=b,a", "its job 0 is name=a, here it would be name=b"),
        ("seed=0,1", "seed=range(2)", None),
        ("optimizer.lr=0.1,0.2", "optimizer.lr=1e-1,0.20", None),
    ],
)
def test_a_sweep_is_known_by_its_jobs(before: str, now: str, difference: str | None) -> None:
    if difference is None:
        same_sweep.check(plan(before), plan(now, "log.progress=none"), Path("sweep"))
        return
    with pytest.raises(FileExistsError, match=difference):
        same_sweep.check(plan(before), plan(now), Path("sweep"))


def test_a_job_that_was_not_planned_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["trainer"])
    as_planned = sweep_plan.jobs
    monkeypatch.setattr(sweep_plan, "jobs", lambda given: reversed(list(as_planned(given))))
    assert main([*LINEAR, "-m", "seed=3,4", "hydra.sweep.dir=sweep"]) == 1
    err = capsys.readouterr().err
    assert (
        err
        == f"trainer: error: {tmp_path}/sweep: job 0 was planned as seed=4; Hydra starts another\n"
    )
    assert statuses(tmp_path / "sweep") == ["waiting"] * 2


def test_a_file_in_place_of_a_jobs_folder_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "1").write_text("precious")
    assert main([*LINEAR, "-m", "seed=3,4", "hydra.sweep.dir=sweep"]) == 2
    assert "sweep/1: is a file, in place of the folder of job 1" in capsys.readouterr().err


def test_a_retry_begins_where_the_sweep_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    ledger = plan("seed=3,4")
    (tmp_path / "sweep").mkdir()
    job_ledger.write(tmp_path / "sweep", ledger)
    monkeypatch.chdir(tmp_path)
    given: list[tuple[list[str], str]] = []

    def instead(path: str, command: list[str], environment: dict[str, str]) -> None:
        given.append((command[-1:], os.getcwd()))
        assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)

    monkeypatch.setattr(os, "execve", instead)
    __main__.main(["retry", "sweep"])
    assert given == [([f"hydra.sweep.dir={tmp_path / 'sweep'}"], str(home))]
    monkeypatch.chdir(tmp_path)
    home.rmdir()
    capsys.readouterr()
    assert __main__.main(["retry", "sweep"]) == 2
    assert f"was begun in {home}, which is no folder here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe", "utf-8"),
        (b"[]", "list indices"),
        (b'{"format": 9}', "has format 9"),
        (b'{"format": 1, "arguments": null, "jobs": []}', "arguments cannot be None"),
        (b'{"format": 1, "arguments": [], "jobs": [null]}', ""),
        (b'{"format": 1, "arguments": [], "jobs": [{"number": 0, "overrides": null,'
         b' "identity": ""}]}', "overrides cannot be None"),
        (b'{"format": 1, "arguments": [], "jobs": [{"number": 0, "overrides": [],'
         b' "identity": "", "status": "odd"}]}', "status odd"),
        (b"[" * 100_000, ""),
    ],
)  # fmt: skip
def test_a_damaged_ledger_is_one_line_with_its_name(
    content: bytes, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.json").write_bytes(content)
    assert __main__.main(["status", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"trainer: error: {tmp_path / 'sweep.json'}: ")
    assert reason in err
    assert err.count("\n") == 1


def test_odd_metrics_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job_ledger.write(tmp_path, plan("seed=3,4,5"))
    whole = '{"epoch": 2, "step": 6, "test/loss": 0.5, "seconds": 3}\n'
    for number, text in enumerate(
        (whole + '{"a": 1}\n', '{"epoch": 1, "step": 3, "seconds": null}\n', "")
    ):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "metrics.jsonl").write_text(text)
    (tmp_path / "2" / "metrics.jsonl").write_bytes(b"\xff\n[1]\n3\n" + b"[" * 100_000)
    assert __main__.main(["status", str(tmp_path)]) == 0
    first, second, third = (line.split()[2:5] for line in capsys.readouterr().out.splitlines()[1:])
    assert first == ["2", "loss", "0.5"]
    assert second[:2] == ["1", "-"]
    assert third[:2] == ["-", "-"]


def test_asking_whether_a_run_goes_on_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not files.in_use(tmp_path)
    (tmp_path / ".lock").touch()
    assert not files.in_use(tmp_path)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(tmp_path):
            os.write(write, b"held")
            signal.pause()
    assert os.read(read, 4) == b"held"
    monkeypatch.setattr("fcntl.lockf", lambda *arguments: pytest.fail("a lock was asked for"))
    try:
        assert files.in_use(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert not files.in_use(tmp_path)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (130, "stopped", None),  # a second Ctrl-C
        (-9, "failed", "killed by SIGKILL"),
        (3, "failed", "left with 3"),
    ],
)
def test_a_process_that_could_not_say_what_it_came_to(
    code: int, status: str, error: str | None, tmp_path: Path
) -> None:
    job_ledger.write(tmp_path, plan("seed=3"))
    job_ledger.update(tmp_path, 0, status="running", pid=1, host="here")
    assert job_process._outcome(tmp_path, 0, code) == Outcome(
        130 if code == 130 else 1, None, error
    )
    (job,) = jobs(tmp_path)
    assert (job["status"], job["error"]) == (status, error)
    assert job["pid"] is job["host"] is None


def test_a_second_ctrl_c_says_that_it_does_not_wait(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job_ledger.write(tmp_path, plan("seed=3"))
    overseer = SweepWatch(tmp_path)
    overseer._stop(signal.SIGINT)
    overseer._stop(signal.SIGINT)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "SIGINT: the jobs that run (0) save and stop"
    assert second == "SIGINT: the jobs that run (0) leave at once"


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
        run_folder.name_events(run, text)
        place = run_folder.events(run)
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
