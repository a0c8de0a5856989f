"""A sweep loses nothing, runs nothing twice and says what it came to."""

import os
import signal
from pathlib import Path

import pytest
from comparison import assert_equal_runs
from processes import TINY, Trainer, train
from sweep_folders import (
    LINEAR,
    ROOT,
    jobs,
    plan_of,
    statuses,
    summary,
    sweep_command,
    training,
    wait_until,
)
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

from trainer.__main__ import main
from trainer.config.overrides import parse
from trainer.storage import files, run_folder
from trainer.storage.files import locked
from trainer.sweep import __main__, sweep_file
from trainer.sweep.jobs import State, make_ready, state
from trainer.sweep.plan import planned
from trainer.sweep.sweep_file import Plan

EPOCHS = 6
JOBS = [*TINY, f"epochs={EPOCHS}", "-m", "seed=3,4,5", "hydra.sweep.dir=sweep"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    process = train(JOBS, folder)
    (folder / "out").write_text(process.out)
    return folder


def test_a_sweep_says_where_it_is_and_ends_in_a_report(whole: Path) -> None:
    out = (whole / "out").read_text()
    assert "[....................] job 0 of 3 (seed=3)\n" in out
    assert "[######..............] job 1 of 3 (seed=4), about" in out
    assert "[####################] job 2 of 3 (seed=5): done, best " in out
    assert "sweep: 3 of 3 jobs done; " in out
    assert "report/report.html" in out
    for name in ("report.html", "report.md", "report.csv"):
        assert (whole / "sweep" / "report" / name).exists()
    assert statuses(whole / "sweep") == ["done"] * 3
    assert [job.folder for job in jobs(whole / "sweep")] == ["0", "1", "2"]


def test_a_job_is_the_command_that_a_user_would_type(whole: Path) -> None:
    command = summary(whole / "sweep" / "1")["command"]
    assert command[:3] == ["python", "-m", "trainer"]
    assert command[3:] == [
        *TINY,
        f"epochs={EPOCHS}",
        "seed=4",
        f"hydra.run.dir='{(whole / 'sweep' / '1').resolve()}'",
        "resume=auto",
    ]


def test_a_job_of_a_sweep_equals_the_same_run_alone(whole: Path, tmp_path: Path) -> None:
    train([*TINY, f"epochs={EPOCHS}", "seed=5", "hydra.run.dir=alone"], tmp_path)
    assert_equal_runs(tmp_path / "alone", whole / "sweep" / "2")


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_sweep_killed_in_the_middle_goes_on_with_the_same_command(
    number: int, whole: Path, tmp_path: Path
) -> None:
    process, sweep = Trainer(JOBS, tmp_path), tmp_path / "sweep"
    wait_until(lambda: training(sweep / "1", 2), process)
    process.kill(number)
    code = process.code()
    assert code == (-9 if number == signal.SIGKILL else 128 + number), process.err
    wait_until(lambda: not files.in_use(sweep / "1"), None, seconds=10)  # it saves by itself
    assert statuses(sweep) == ["done", "stopped", "waiting"]
    done = {f: f.stat().st_mtime_ns for f in (sweep / "0").rglob("*") if f.is_file()}
    status = sweep_command(["status", "sweep"], tmp_path)
    assert status.returncode == 0, status.stderr
    lines = status.stdout.splitlines()
    assert lines[0].split() == ["job", "state", "epoch", "result", "time", "overrides"]
    assert lines[1].split()[:3] == ["0", "done", str(EPOCHS)]
    assert [line.split()[1] for line in lines[2:]] == ["stopped", "waiting"]
    again = train(JOBS, tmp_path)
    assert "job 0 of 3 (seed=3): done before" in again.out
    assert "resumed from" in again.out
    assert statuses(sweep) == ["done"] * 3
    for file, changed in done.items():
        assert file.stat().st_mtime_ns == changed, file
    for job in range(3):
        assert_equal_runs(whole / "sweep" / str(job), sweep / str(job))


def test_a_failed_job_is_retried_without_repeating_the_command(tmp_path: Path) -> None:
    command = [*TINY, "epochs=1", "-m", "optimizer.lr=0.01,1e30,0.02", "hydra.sweep.dir=sweep"]
    process = train(command, tmp_path, expect=1)
    assert statuses(tmp_path / "sweep") == ["done", "failed", "done"]
    assert "the loss is" in str(state(tmp_path / "sweep" / "1").error)
    assert "python -m trainer.sweep retry" in process.out
    before = plan_of(tmp_path / "sweep")
    retried = sweep_command(["retry", "sweep"], tmp_path)
    assert retried.returncode == 1
    assert retried.stdout.count("done before") == 2
    assert "failed: job 1 (optimizer.lr=1e+30): the loss is" in retried.stdout
    assert plan_of(tmp_path / "sweep") == before, "the plan is written once"


def plan(*arguments: str) -> Plan:
    """A sweep as it is planned."""
    return planned([], parse([*LINEAR, *arguments])).plan


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
        sweep_file.check_same(plan("seed=0,1"), plan("seed=0,1", change), Path("sweep"))


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
        sweep_file.check_same(plan(before), plan(now, "log.progress=none"), Path("sweep"))
        return
    with pytest.raises(FileExistsError, match=difference):
        sweep_file.check_same(plan(before), plan(now), Path("sweep"))


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    made = plan("seed=3,4", "hydra.sweep.subdir='${hydra.job.num}_a'")
    sweep_file.write(tmp_path, made)
    found = sweep_file.read(tmp_path)
    assert found is not None
    sweep_file.check_same(found, made, tmp_path)
    assert [job.folder for job in found.jobs] == ["0_a", "1_a"]
    assert (found.arguments, found.cwd) == ([], os.getcwd())


def test_what_is_about_the_sweep_is_no_part_of_its_jobs() -> None:
    about = ["hydra.launcher.n_jobs=1", "hydra/launcher=processes", "hydra.sweep.dir=s"]
    (first, second) = plan("seed=1,2", *about).jobs
    assert first.arguments == (*LINEAR, "seed=1")
    assert second.command(Path("/s"))[-2:] == ["hydra.run.dir='/s/1'", "resume=auto"]


def test_a_sweep_of_an_older_version_is_named_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.json").write_text('{"format": 1, "arguments": ["seed=3"], "jobs": []}')
    assert __main__.main(["status", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "sweep.json: has format 1, this program reads 2; an older version wrote it" in err
    assert err.count("\n") == 1


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
    made = plan("seed=3,4")
    (tmp_path / "sweep").mkdir()
    sweep_file.write(tmp_path / "sweep", made)
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


HEAD = b'{"format": 2, "cwd": "/", "n_trials": 0, "arguments": [], '


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe", "utf-8"),
        (b"[]", "list indices"),
        (b'{"format": 9}', "has format 9, this program reads 2\n"),
        (b'{"format": 2}', "jobs"),
        (HEAD + b'"direction": null, "arguments": null, "jobs": []}', "None is no list of texts"),
        (HEAD + b'"direction": null, "jobs": [null]}', ""),
        (HEAD + b'"direction": null, "jobs": [{"overrides": null, "folder": "0"}]}', "None is no"),
        (HEAD + b'"direction": null, "jobs": [{"overrides": [], "folder": "0", "settings": 3}]}',
         "not iterable"),
        (HEAD + b'"direction": null, "jobs": [{"overrides": [], "folder": "../", "settings": {}}]}',
         "folder .."),
        (HEAD + b'"direction": 3, "jobs": []}', "its direction is 3"),
        (HEAD + b'"direction": "minimize", "jobs": []}', "its direction is minimize"),
        (b"[" * 100_000, ""),
    ],
)  # fmt: skip
def test_a_damaged_plan_is_one_line_with_its_name(
    content: bytes, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.json").write_bytes(content)
    assert __main__.main(["status", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"trainer: error: {tmp_path / 'sweep.json'}: ")
    assert reason in err
    assert err.count("\n") == 1


def test_odd_metrics_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep_file.write(tmp_path, plan("seed=3,4,5"))
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


ELSEWHERE = "process 7 on another-machine\n"


@pytest.mark.parametrize(
    ("left", "found"),
    [
        ({}, State("waiting")),
        ({"summary.json": '{"status": "done"}'}, State("done")),
        ({"summary.json": '{"status": "stopped"}'}, State("stopped")),
        ({"summary.json": '{"status": "running"}'}, State("interrupted")),
        ({"summary.json": '{"status": "failed", "error": "x"}'}, State("failed", error="x")),
        ({"summary.json": '{"status": "running"}', ".lock": ELSEWHERE},
         State("running on another-machine")),
        ({"summary.json": '{"status": "done"}', ".lock": ELSEWHERE}, State("done")),
        ({".lock": ELSEWHERE}, State("running on another-machine")),
        ({"screen.log": "note\ntrainer: error: no data\n"},
         State("failed", error="trainer: error: no data")),
        ({"checkpoints/step_00000000.pt": ""}, State("interrupted")),
        ({"summary.json": '{"status": "done", "best": {"monitor": "test/loss", "test/loss": 2}}'},
         State("done", 2.0)),
        ({"summary.json": '{"status": "done", "best": {"monitor": "a", "a": "b"}}'}, State("done")),
        ({"summary.json": "[" * 100_000}, State("waiting")),
    ],
)  # fmt: skip
def test_the_state_of_a_job_is_its_folder(
    left: dict[str, str], found: State, tmp_path: Path
) -> None:
    for name, text in left.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert state(tmp_path) == found


def test_an_attempt_that_saved_nothing_is_no_obstacle_to_the_next(tmp_path: Path) -> None:
    (job, _) = plan("seed=3,4").jobs
    make_ready(job, tmp_path)
    (tmp_path / "0" / "summary.json").write_text('{"status": "failed", "error": "disk full"}')
    make_ready(job, tmp_path)
    assert run_folder.results(tmp_path / "0") == []
    (tmp_path / "0" / "checkpoints").mkdir()
    run_folder.step_file(tmp_path / "0", 0).touch()
    (tmp_path / "0" / "summary.json").write_text('{"status": "failed"}')
    make_ready(job, tmp_path)
    assert (tmp_path / "0" / "summary.json").exists()


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
        assert state(tmp_path) == State("running")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert not files.in_use(tmp_path)


def test_a_done_job_whose_checkpoint_is_damaged_is_not_skipped(whole: Path, tmp_path: Path) -> None:
    train(JOBS, tmp_path)
    newest = max((tmp_path / "sweep" / "1" / "checkpoints").glob("step_*.pt"))
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
        steps = [event.step for event in multiplexer.Tensors(name, "test/accuracy")]
        assert steps == [6 * epoch for epoch in range(1, EPOCHS + 1)]


def test_a_name_for_tensorboard_is_one_that_a_folder_can_have(tmp_path: Path) -> None:
    for number, text in enumerate(["data.root=/a/b", "x" * 400, "scheduler=recipe/steplr", "..."]):
        run = tmp_path / str(number)
        run_folder.name_events(run, text)
        place = run_folder.events(run)
        place.mkdir(parents=True, exist_ok=True)
        assert place.relative_to(run / "tensorboard").parts == place.parts[len(run.parts) + 1 :]
        assert len(place.relative_to(run).parts) == (1 if text == "..." else 2)


def test_what_is_no_sweep_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "retry"):
        assert __main__.main([command, str(tmp_path)]) == 2
        err = capsys.readouterr().err
        assert "is no sweep's folder: it holds no sweep.json" in err
        assert err.count("\n") == 1
    (tmp_path / "sweep.json").write_text("{")
    assert __main__.main(["status", str(tmp_path)]) == 2
    assert "cannot be read as a sweep's plan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("hydra/sweeper=optuna", "search=lr searches by Optuna"),
        ("hydra/sweeper/sampler=grid", "search=lr searches by Optuna"),
        ("hydra.sweeper.n_trials=3", "search=lr searches by Optuna, with search.n_trials"),
        ("hydra.sweeper.n_jobs=3", "search=lr searches by Optuna, with hydra.launcher.n_jobs"),
        ("hydra.sweeper.sampler.seed=3", "search=lr searches by Optuna, with search.seed"),
        ("search.n_trials=3", "search.n_trials=3: is for a search; add search=lr"),
    ],
)
def test_keys_of_hydras_sweepers_name_the_search(
    argument: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main([*LINEAR, "-m", "seed=1,2", argument]) == 2
    err = capsys.readouterr().err
    assert f"{argument}: " in err
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_sweep_under_torchrun_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "x",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="processes_per_job=N gives each job N processes"):
        plan("seed=1,2")
