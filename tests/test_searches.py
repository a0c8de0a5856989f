"""A search by Optuna: checked before it starts, outlives failures, and goes on where it was."""

import json
from pathlib import Path
from typing import Any

import pytest
from processes import TINY, Trainer, train

pytest.importorskip(
    "hydra_plugins.hydra_optuna_sweeper", reason="the extra `sweep` is not installed"
)
SEARCH = [*TINY, "epochs=1", "-m", "search=lr", "hydra.sweeper.n_trials=4", "hydra.sweep.dir=sweep"]


def ledger(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "sweep" / "sweep.json").read_text())


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
