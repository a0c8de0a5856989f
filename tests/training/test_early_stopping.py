"""A run that ends before its last epoch, because its history says so."""

import json
import signal
from pathlib import Path

import pytest
from comparison import assert_equal_runs, metrics
from faults import SignalAt
from processes import TINY, Trainer, train

from trainer.report.read import read_run
from trainer.storage import run_folder
from trainer.training.early_stopping import evaluations_without_gain

# The loss rises from the first epoch on under this LR.
RUN = [*TINY, "epochs=8", "optimizer.lr=1e-12", "scheduler=constant", "resume=auto",
       "early_stopping.patience=2"]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "min_delta", "waited"),
    [
        ([], 0.0, 0),
        ([0.5], 0.0, 0),
        ([0.5, 0.6, 0.7], 0.0, 0),
        ([0.5, 0.5, 0.5], 0.0, 2),  # equal is no gain
        ([0.5, 0.4, 0.45], 0.0, 2),
        ([0.5, 0.4, 0.6, 0.6], 0.0, 1),
        ([0.5, 0.55, 0.58], 0.1, 2),  # against the last that counted, not the highest
        ([0.5, 0.55, 0.65], 0.1, 0),
        ([0.5, float("nan"), 0.4], 0.0, 2),
    ],
)
def test_the_count_of_evaluations_without_a_gain(
    values: list[float], min_delta: float, waited: int
) -> None:
    assert evaluations_without_gain(values, min_delta) == waited


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    process = train([*RUN, "hydra.run.dir=run"], folder)
    assert "stopped early, after 3 epochs: test/accuracy has not improved in 2 evaluations" in (
        process.out
    )
    return folder / "run"


def test_it_is_done_and_says_why(stopped: Path) -> None:
    summary = json.loads((stopped / "summary.json").read_text())
    assert (summary["status"], summary["epochs"], summary["updates"]) == ("done", 3, 18)
    assert summary["stopped_early"].startswith("test/accuracy has not improved")
    assert run_folder.status(stopped) == "done"
    assert read_run(stopped, "run").finished


def test_it_stays_so_and_the_same_command_has_nothing_to_do(stopped: Path) -> None:
    before = (stopped / "metrics.jsonl").read_bytes()
    again = train([*RUN, "hydra.run.dir=run"], stopped.parent)
    assert "is complete after 3 epochs; nothing to do: test/accuracy has not" in again.out
    assert (stopped / "metrics.jsonl").read_bytes() == before


def test_another_length_alone_is_refused(stopped: Path) -> None:
    before = (stopped / "config.yaml").read_bytes()
    refused = train(["resume=run", "epochs=12"], stopped.parent, expect=2)
    assert "epochs=12: test/accuracy has not improved in 2 evaluations" in refused.err
    assert "early_stopping.patience=null, or a greater one, goes on" in refused.err
    assert (stopped / "config.yaml").read_bytes() == before


def test_killed_and_resumed_it_ends_at_the_same_place(stopped: Path, tmp_path: Path) -> None:
    kill = SignalAt("history.py", "advance", 15, signal.SIGKILL)  # in the third epoch
    assert Trainer([*RUN, "hydra.run.dir=run"], tmp_path, prepare=kill).code() == -9
    train([*RUN, "hydra.run.dir=run"], tmp_path)
    assert_equal_runs(stopped, tmp_path / "run")


def test_without_patience_it_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    train([*RUN, "hydra.run.dir=run"], tmp_path)
    train(["resume=run", "early_stopping.patience=null"], tmp_path)
    train([*RUN, "early_stopping.patience=null", "hydra.run.dir=whole"], tmp_path)
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")
    assert (tmp_path / "run" / "lr.csv").read_text() == (tmp_path / "whole/lr.csv").read_text()
    assert "stopped_early" not in json.loads((tmp_path / "run" / "summary.json").read_text())


@pytest.mark.slow
def test_a_sweep_takes_it_for_finished(tmp_path: Path) -> None:
    sweep = [*RUN[:-2], "early_stopping.patience=1,2", "-m", "hydra.sweep.dir=sweep"]
    first = train(sweep, tmp_path)
    assert "sweep: 2 of 2 jobs done" in first.out
    again = train(sweep, tmp_path)
    assert again.out.count("done before") == 2
