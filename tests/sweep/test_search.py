"""A search by Optuna: checked before it starts, outlives failures, and goes on where it was."""

import json
import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import TINY, Trainer, train
from sweep_folders import LINEAR, jobs, plan_of, statuses, summary, training, wait_until

from trainer.__main__ import main
from trainer.sweep import start
from trainer.sweep.__main__ import main as sweep_main
from trainer.sweep.jobs import State, is_finished, make_ready
from trainer.sweep.progress import Progress

optuna = pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
from trainer.sweep.search import JOURNAL, opened  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Optuna's own, where it runs in this process
SEARCH = [*TINY, "epochs=1", "-m", "search=lr", "search.n_trials=4", "hydra.sweep.dir=sweep"]
SPACE = (
    "search=given",
    "optimizer.lr=tag(log,interval(0.001,0.1))",
    "search.n_trials=6",
    "search.n_startup_trials=2",  # the others follow from those before them
)


@dataclass
class Untrained:
    """In place of the processes: a job's value follows from its LR; some fail, one is stopped.

    `at_once` jobs are taken before the first of them is told.
    """

    progress: Progress
    failing: tuple[int, ...] = ()
    stopped: tuple[int, ...] = ()
    at_once: int = 1

    def run(self) -> int | None:
        source, running = self.progress.source, []
        while True:
            while len(running) < self.at_once and (job := source.take()) is not None:
                if is_finished(self.progress.sweep / job.folder):
                    self.progress.skip(job)
                    continue
                self.progress.begin(job)
                running.append(job)
            if not running:
                return None
            job = running.pop(0)
            found = self._trained(job)
            self.progress.end(job, found)
            if found.status == "stopped":
                return 15

    def _trained(self, job: Any) -> State:
        folder = self.progress.sweep / job.folder
        make_ready(job, self.progress.sweep)
        lr = next(float(o.partition("=")[2]) for o in job.overrides if o.startswith("optimizer.lr"))
        value = (math.log10(lr) + 2) ** 2
        if job.number in (*self.failing, *self.stopped):
            state = State("failed" if job.number in self.failing else "stopped", error="no memory")
        else:
            state = State("done", value)
        best = {"monitor": "test/loss", "test/loss": value}
        entries = {"status": state.status, "error": state.error, "best": best}
        (folder / "summary.json").write_text(json.dumps(entries))
        return state


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Progress, "_report", lambda self: None)
    monkeypatch.setattr(start, "start_server", lambda: None)
    # an untrained job has no checkpoint
    monkeypatch.setattr("test_search.is_finished", finished)
    return tmp_path


def finished(folder: Path) -> bool:
    return (folder / "summary.json").exists() and summary(folder)["status"] == "done"


def search(monkeypatch: pytest.MonkeyPatch, *arguments: str, **more: Any) -> int:
    """A search in this process, without training."""
    monkeypatch.setattr(start, "runner", lambda _, progress: Untrained(progress, **more))
    return main([*LINEAR, "-m", "hydra.sweep.dir=sweep", *(arguments or SPACE)])


def chosen(folder: Path) -> list[list[str]]:
    return [job.overrides for job in jobs(folder / "sweep")]


def told(folder: Path) -> list[str]:
    trials = opened(folder / "sweep", "minimize").get_trials(deepcopy=False)
    return [trial.state.name for trial in trials]


def test_a_failed_job_is_told_as_failed_and_the_search_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(monkeypatch, failing=(1,)) == 1
    assert told(here) == ["COMPLETE", "FAIL", *["COMPLETE"] * 4]
    assert "failed: job 1 (optimizer.lr=" in capsys.readouterr().out
    first = chosen(here)
    assert search(monkeypatch) == 0, "a retry runs the failed job"
    assert chosen(here) == first
    assert statuses(here / "sweep") == ["done"] * 6
    values = [summary(here / "sweep" / str(n))["best"]["test/loss"] for n in range(6)]
    out = capsys.readouterr().out
    assert out.count("done before") == 5
    assert f"best: job {values.index(min(values))} of 6 (optimizer.lr=" in out
    text = (here / "sweep" / "optimization_results.yaml").read_text()
    assert f"best_value: {min(values)}" in text


def test_a_search_that_was_stopped_takes_the_way_of_one_that_was_not(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search(monkeypatch) == 0
    whole = chosen(here)
    (here / "sweep").rename(here / "whole")
    for n in (1, 3, 4):
        assert search(monkeypatch, stopped=(n,)) == 143
        assert chosen(here) == whole[: n + 1]
        assert told(here)[n] == "RUNNING"
    assert search(monkeypatch) == 0
    assert chosen(here) == whole
    assert len({tuple(job) for job in whole}) == 6
    assert told(here) == ["COMPLETE"] * 6


def test_a_job_that_ended_while_nobody_looked_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search(monkeypatch, stopped=(2,)) == 143
    end = {"status": "done", "best": {"monitor": "test/loss", "test/loss": 0.25}}
    (here / "sweep" / "2" / "summary.json").write_text(json.dumps(end))
    assert search(monkeypatch) == 0
    trials = opened(here / "sweep", "minimize").get_trials(deepcopy=False)
    assert trials[2].value == 0.25


def test_jobs_side_by_side_are_all_different(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert search(monkeypatch, at_once=3) == 0
    assert len({tuple(job) for job in chosen(here)}) == 6
    assert told(here) == ["COMPLETE"] * 6


def test_a_longer_search_goes_on_and_the_plan_says_so(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(monkeypatch) == 0
    before = chosen(here)
    assert search(monkeypatch, *SPACE, "search.n_trials=8") == 0
    assert chosen(here)[:6] == before
    assert len(chosen(here)) == 8
    assert plan_of(here / "sweep")["n_trials"] == 8
    capsys.readouterr()
    assert sweep_main(["status", "sweep"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 8


def test_a_journal_that_was_cut_in_the_middle_of_a_line_is_read(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search(monkeypatch, stopped=(2,)) == 143
    journal = here / "sweep" / JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 5, "wor')
    assert search(monkeypatch) == 0
    assert told(here) == ["COMPLETE"] * 6


def test_a_trial_that_was_cut_while_it_was_drawn_is_no_job(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search(monkeypatch, stopped=(2,)) == 143
    opened(here / "sweep", "minimize").ask()  # without its parameters
    assert search(monkeypatch) == 0
    assert told(here)[3] == "FAIL"
    assert [job.number for job in jobs(here / "sweep")] == [0, 1, 2, 4, 5, 6]
    assert statuses(here / "sweep") == ["done"] * 6


def test_a_damaged_journal_is_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(monkeypatch) == 0
    (here / "sweep" / JOURNAL).write_bytes(b"\xff[]\n" * 3)
    capsys.readouterr()
    assert sweep_main(["status", "sweep"]) == 2
    err = capsys.readouterr().err
    assert "cannot be read as Optuna's journal" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("interval(0.5,2)", lambda v: 0.5 <= float(v) <= 2),
        ("tag(log,interval(0.001,0.1))", lambda v: 0.001 <= float(v) <= 0.1),
        ("choice(0.1,0.2,0.3)", lambda v: v in ("0.1", "0.2", "0.3")),
        ("0.1,0.2", lambda v: v in ("0.1", "0.2")),
        ("range(1,8,3)", lambda v: v in ("1", "4", "7")),
        ("tag(log,int(interval(1,100)))", lambda v: v == str(int(v)) and 1 <= int(v) <= 100),
    ],
)
def test_hydras_grammar_says_what_is_drawn(
    text: str, drawn: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search(monkeypatch, "search=given", f"optimizer.lr={text}", "search.sampler=random") == 0
    values = [job[0].partition("=")[2] for job in chosen(here)]
    assert len(values) == 20
    assert all(drawn(value) for value in values), values
    assert len({*values}) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("search.n_trials=0", "search.n_trials=0: must be at least 1"),
        ("search.n_trials=some", "search.n_trials=some: "),
        ("search.sampler=grid", "search.sampler=grid: must be one of tpe, random"),
        ("search.n_trial=3", "search.n_trial=3: Key 'n_trial' not in 'SearchOptions'"),
        ("search.n_trials=3,4", "search.n_trials=3,4: is for the whole sweep"),
        ("hydra.sweep.subdir=x", "a search's jobs lie in their numbers"),
        ("seed=shuffle(1,2)", "leave out shuffle()"),
        ("optimizer.lr=interval(-1,1)", "optimizer.lr"),
        ("optimizer.lr=tag(log,interval(0,1))", "optimizer.lr=tag(log,interval(0,1)): "),
        ("optimizer.lr=1 scheduler=cosine scheduler.warmup=1", "every key of it is given a value"),
        ("scheduler=choice(warmup_cosine,warmup_cosin)", "did you mean warmup_cosine?"),
        ("optimizer.lrr=interval(0.1,1)", "did you mean optimizer.lr?"),
        ("scheduler.warmup=choice(1,90)", "scheduler.warmup"),
        ("search=lrr", "there is no search lrr; did you mean lr?"),
        ("hydra.sweeper.direction=maximize", "search=lr searches by Optuna"),
    ],
)
def test_a_search_that_cannot_be_is_one_line(
    arguments: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TINY, "-m", "search=lr", *arguments.split()]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed=9", "the base of its search is seed=0, here it would be seed=9"),
        (
            "optimizer.lr=interval(1,2)",
            "the base of its search is search.optimizer.lr=tag(log",
        ),
    ],
)
def test_another_search_has_another_folder(
    change: str, message: str, here: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert search(monkeypatch) == 0
    space = [a for a in SPACE if a.partition("=")[0] != change.partition("=")[0]]
    assert search(monkeypatch, *space, change) == 2
    assert f"belongs to another sweep: {message}" in capsys.readouterr().err


def test_a_search_of_ones_own(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine" / "search").mkdir(parents=True)
    text = "n_trials: 3\nparams:\n  optimizer.lr: interval(0.1, 0.2)\n"
    (here / "mine" / "search" / "narrow.yaml").write_text(text)
    own = ["--config-dir", "mine", "search=narrow"]
    assert search(monkeypatch, *own) == 0
    assert len(chosen(here)) == 3
    (here / "mine" / "search" / "narrow.yaml").write_text("trials: 3\n")
    assert search(monkeypatch, *own) == 2
    assert "search=narrow: Key 'trials' not in 'SearchOptions'" in capsys.readouterr().err


def test_a_search_is_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LINEAR, "search=lr"]) == 2
    assert "search=lr: is for a sweep; add -m" in capsys.readouterr().err


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    process = train(SEARCH, folder)
    (folder / "out").write_text(process.out)
    return folder


def test_a_search_maximises_the_accuracy_and_names_the_best_job(whole: Path) -> None:
    sweep = whole / "sweep"
    assert statuses(sweep) == ["done"] * 4
    for job in jobs(sweep):
        keys = [override.partition("=")[0] for override in job.overrides]
        assert sorted(keys) == ["optimizer.lr", "scheduler", "scheduler.warmup"]
    values = [summary(sweep / str(n))["best"]["test/accuracy"] for n in range(4)]
    best = values.index(max(values))
    out = (whole / "out").read_text()
    assert f"best: job {best} of 4 ({' '.join(jobs(sweep)[best].overrides)}): " in out
    assert "report/report.html" in out


def test_optuna_itself_reads_the_journal(whole: Path) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(whole / "sweep" / JOURNAL)))
    study = optuna.load_study(study_name=None, storage=storage)
    values = [summary(whole / "sweep" / str(n))["best"]["test/accuracy"] for n in range(4)]
    assert [trial.value for trial in study.trials] == values
    assert study.best_value == max(values)


@pytest.mark.parametrize(
    ("trials", "at_once"),
    [(5, 1), pytest.param(30, 2, marks=pytest.mark.slow)],
)
def test_a_search_killed_in_the_middle_goes_on_to_its_end(
    trials: int, at_once: int, tmp_path: Path
) -> None:
    if len(os.sched_getaffinity(0)) < at_once:
        pytest.skip("needs two cores")
    # half of the LRs diverge
    command = [*TINY, "epochs=3", "-m", "search=given", f"search.n_trials={trials}",
               "optimizer.lr=tag(log,interval(0.001,1e12))", "search.n_startup_trials=3",
               f"hydra.launcher.n_jobs={at_once}", "hydra.sweep.dir=sweep"]  # fmt: skip
    sweep, middle = tmp_path / "sweep", trials // 2
    process = Trainer(command, tmp_path)
    wait_until(lambda: training(sweep / str(middle)) or (sweep / str(middle + 1)).exists(), process,
               seconds=400)  # fmt: skip
    process.kill(signal.SIGKILL)
    assert process.code() == -signal.SIGKILL
    time.sleep(1)
    before = [job.overrides for job in jobs(sweep)]
    assert middle < len(before) < trials
    code = train(command, tmp_path, expect=1 if "failed" in statuses(sweep) else 0).code()
    found = statuses(sweep)
    assert len(found) == trials
    assert {*found} <= {"done", "failed"}
    assert [job.overrides for job in jobs(sweep)][: len(before)] == before
    trials_told = opened(sweep, "maximize").get_trials(deepcopy=False)
    for status, trial in zip(found, trials_told, strict=True):
        assert trial.state.name == ("COMPLETE" if status == "done" else "FAIL")
    assert code == int("failed" in found)


@pytest.mark.slow
def test_a_loss_is_minimised(tmp_path: Path) -> None:
    train([*SEARCH, "checkpoint.monitor=test/loss", "search.n_trials=1"], tmp_path)
    assert plan_of(tmp_path / "sweep")["direction"] == "minimize"
