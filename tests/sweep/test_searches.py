"""A search by Optuna: checked before it starts, outlives failures, and goes on where it was."""

import json
import math
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import TINY, Trainer, train

from trainer.__main__ import main
from trainer.config.fields import Config
from trainer.sweep import job_ledger, sweep_jobs, sweep_task
from trainer.training.attempt import Outcome

pytest.importorskip(
    "hydra_plugins.hydra_optuna_sweeper", reason="the extra `sweep` is not installed"
)
SEARCH = [*TINY, "epochs=1", "-m", "search=lr", "hydra.sweeper.n_trials=4", "hydra.sweep.dir=sweep"]


def ledger(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "sweep" / "sweep.json").read_text())


pytestmark = pytest.mark.filterwarnings("ignore")  # Optuna's own, where it runs in this process
LINEAR = ["experiment=linear_regression", "device=cpu", "-m", "hydra/sweeper=optuna"]


@dataclass
class Untrained:
    """In place of a job's run: its value follows from its LR; some of them fail."""

    failing: tuple[int, ...] = ()
    stopped: tuple[int, ...] = ()

    def __call__(self, config: Config, folder: Path, sweep: Path, number: int, _: Any) -> Outcome:
        random.seed(number)  # as a run does
        if number in self.failing:
            outcome = Outcome(1, error="no memory")
        elif number in self.stopped:
            outcome = Outcome(143)
        else:
            outcome = Outcome(0, (math.log10(config.optimizer.lr) + 2) ** 2)
        status, value = outcome.status, outcome.value
        job_ledger.update(sweep, number, status=status, value=value, error=outcome.error)
        return outcome


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["trainer"])
    monkeypatch.setattr(sweep_jobs, "_report", lambda sweep: None)
    return tmp_path


def search(monkeypatch: pytest.MonkeyPatch, job: Untrained, *arguments: str) -> int:
    """A search in this process, without training."""
    monkeypatch.setattr(sweep_jobs, "run_job", job)
    return main([*LINEAR, "hydra.sweep.dir=sweep", "hydra.sweeper.n_jobs=1", *arguments])


def chosen(folder: Path) -> list[list[str]]:
    return [job["overrides"] for job in ledger(folder)["jobs"]]


SPACE = (
    "optimizer.lr=tag(log,interval(0.001,0.1))",
    "hydra.sweeper.n_trials=3",
    "hydra.sweeper.sampler.n_startup_trials=1",  # the others follow from those before them
)


def test_a_failed_job_that_succeeds_later_changes_no_later_one(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(monkeypatch, Untrained(failing=(1,)), *SPACE) == 1
    first = chosen(here)
    assert search(monkeypatch, Untrained(), *SPACE) == 0
    assert chosen(here) == first
    jobs = ledger(here)["jobs"]
    assert [job["status"] for job in jobs] == ["done"] * 3
    best = min(jobs, key=lambda job: job["value"])
    assert f"best: job {best['number']} of 3" in capsys.readouterr().out


def test_a_search_that_goes_another_way_ends_with_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(monkeypatch, Untrained(), *SPACE) == 0
    entries = ledger(here)
    entries["jobs"][2]["identity"] = "another"
    (here / "sweep" / "sweep.json").write_text(json.dumps(entries))
    capsys.readouterr()
    assert search(monkeypatch, Untrained(), *SPACE) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert "the search no longer follows the same path: its job 2 is optimizer.lr=" in err[0]
    assert ledger(here)["jobs"] == entries["jobs"]


def test_a_search_ends_with_a_job_that_was_stopped(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(monkeypatch, Untrained(), *SPACE) == 0
    whole = chosen(here)
    shutil.rmtree(here / "sweep")
    monkeypatch.setattr(sweep_task, "STOPS", ())  # as side by side, where it stops alone
    assert search(monkeypatch, Untrained(stopped=(1,)), *SPACE) == 1
    assert "a job was stopped, and the search with it" in capsys.readouterr().err
    assert chosen(here) == whole[:2]
    assert search(monkeypatch, Untrained(), *SPACE) == 0
    assert chosen(here) == whole


def test_a_grid_has_as_many_jobs_as_choices_in_an_order_that_repeats(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ("hydra/sweeper/sampler=grid", "optimizer.lr=0.1,0.01", "seed=range(2,4)")
    assert search(monkeypatch, Untrained(failing=(2,)), *grid) == 1
    assert "sweep: 3 of 4 jobs done" in capsys.readouterr().out
    first = chosen(here)
    assert len({tuple(job) for job in first}) == 4
    assert search(monkeypatch, Untrained(), *grid) == 0
    assert chosen(here) == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("hydra.sweeper.n_trials=0 seed=1,2", "hydra.sweeper.n_trials=0: must be at least 1"),
        ("hydra.sweeper.n_jobs=0 seed=1,2", "hydra.sweeper.n_jobs=0: must be at least 1"),
        ("hydra/sweeper/sampler=grid optimizer.lr=interval(0.1,1)", "a grid takes choices"),
        ("hydra.sweep.subdir=x seed=1,2", "hydra.sweep.subdir=x: would be the folder of jobs 0"),
        ("seed=shuffle(1,2)", "leave out shuffle()"),
        (
            "search=lr hydra/sweeper/sampler=grid optimizer.lr=1,2",
            "Key 'seed' not in 'SamplerConfig'",
        ),
    ],
)
def test_a_search_that_cannot_be_is_one_line(
    arguments: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*LINEAR, *arguments.split()]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not list(here.iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    process = train(SEARCH, folder)
    (folder / "out").write_text(process.out)
    return folder


def test_a_search_maximises_the_accuracy_and_names_the_best_job(whole: Path) -> None:
    jobs = ledger(whole)["jobs"]
    assert [job["status"] for job in jobs] == ["done"] * 4
    assert len({job["identity"] for job in jobs}) == 4
    for job in jobs:
        keys = [override.partition("=")[0] for override in job["overrides"]]
        assert sorted(keys) == ["optimizer.lr", "scheduler", "scheduler.warmup"]
    best = max(jobs, key=lambda job: job["value"])
    out = (whole / "out").read_text()
    assert f"best: job {best['number']} of 4 ({' '.join(best['overrides'])}): " in out
    assert "report/report.html" in out
    results = (whole / "sweep" / "optimization_results.yaml").read_text()
    assert f"best_value: {best['value']}" in results


def test_the_same_command_takes_the_same_way_and_runs_nothing_twice(whole: Path) -> None:
    before = ledger(whole)["jobs"]
    longer = [a.replace("n_trials=4", "n_trials=5") for a in SEARCH]
    again = train(longer, whole)
    assert again.out.count("done before") == 4
    assert ledger(whole)["jobs"][:4] == before
    assert ledger(whole)["jobs"][4]["status"] == "done"
    other = train([*SEARCH, "seed=9"], whole, expect=2)
    assert "belongs to another sweep" in other.err


def test_a_failed_job_counts_as_the_worst_and_the_search_goes_on(tmp_path: Path) -> None:
    command = [*TINY, "epochs=1", "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_jobs=1"]
    command += ["hydra.sweeper.n_trials=3", "hydra.sweep.dir=sweep"]
    command += ["hydra/sweeper/sampler=grid", "optimizer.lr=0.01,1e30,0.02"]
    train(command, tmp_path, expect=1)
    jobs = ledger(tmp_path)["jobs"]
    assert sorted(job["status"] for job in jobs) == ["done", "done", "failed"]
    (failed,) = (job for job in jobs if job["status"] == "failed")
    assert failed["overrides"] == ["optimizer.lr=1e+30"]
    assert "the loss is" in failed["error"]


@pytest.mark.slow
def test_a_loss_is_minimised_and_another_direction_is_refused(tmp_path: Path) -> None:
    monitor = [*SEARCH, "checkpoint.monitor=test/loss"]
    process = train([*monitor, "hydra.sweeper.direction=maximize"], tmp_path, expect=2)
    assert "the direction follows checkpoint.monitor (minimize)" in process.err
    short = [a.replace("n_trials=4", "n_trials=1") for a in monitor]
    train(short, tmp_path)
    assert ledger(tmp_path)["direction"] == "minimize"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("optimizer.lr=interval(-1,1)", "optimizer.lr"),
        ("scheduler.warmup=choice(1,90)", "scheduler.warmup"),
        ("scheduler=choice(warmup_cosine,warmup_cosin)", "did you mean warmup_cosine?"),
        ("optimizer.lrr=interval(0.1,1)", "did you mean optimizer.lr?"),
    ],
)
def test_every_end_of_the_space_is_checked_first(
    argument: str, message: str, tmp_path: Path
) -> None:
    process: Trainer = train([*SEARCH, argument], tmp_path, expect=2)
    assert message in process.err
    assert process.err.count("\n") == 1
    assert not (tmp_path / "sweep").exists()


def test_a_search_is_a_sweep(tmp_path: Path) -> None:
    process = train([*TINY, "search=lr"], tmp_path, expect=2)
    assert "search=lr: is for a sweep; add -m" in process.err
