"""`plan` shows what a sweep would do and about how long it takes, and runs nothing."""

import json
import shutil
from pathlib import Path

import pytest
from processes import TINY, train
from sweep_folders import LINEAR, summary

from trainer.sweep import dry_run
from trainer.sweep.__main__ import main


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    train([*TINY, "epochs=2", "hydra.run.dir=outputs/run"], folder)
    return folder


def test_each_job_with_its_steps_and_its_time_by_finished_runs(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shutil.copytree(finished / "outputs", tmp_path / "outputs")
    entries = summary(tmp_path / "outputs" / "run")
    (tmp_path / "outputs" / "run" / "summary.json").write_text(
        json.dumps(entries | {"seconds": 24.0, "device": dry_run_device()})
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dry_run, "timed", lambda config: 0.5)
    before = sorted(tmp_path.rglob("*"))
    words = ["plan", *TINY, "epochs=3,10", "scheduler=cosine,steplr", "batch_size=20,40"]
    assert main(words) == 0
    rows = [line.split(maxsplit=6) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["job", "steps", "time", "from", "overrides"]
    # 24 s for 12 steps; another batch size is another pace, another schedule is not
    assert rows[1][:6] == ["0", "18", "36.0", "s", "finished", "runs"]
    assert rows[2][:6] == ["1", "9", "4.5", "s", "timed", "steps"]
    assert rows[3][1:6] == rows[1][1:6]
    assert rows[5][:6] == ["4", "60", "2", "min", "finished", "runs"]
    assert rows[-1][:5] == ["8", "jobs,", "234", "steps,", "about"]
    assert "nothing was run" in " ".join(rows[-1])
    assert sorted(tmp_path.rglob("*")) == before


def dry_run_device() -> str:
    import torch

    from trainer.training.device import describe

    return describe(torch.device("cpu"))


@pytest.mark.parametrize("change", ["device", "status", "seconds", "config"])
def test_a_run_that_says_nothing_about_this_sweep_does_not_count(
    change: str, finished: Path, tmp_path: Path
) -> None:
    from trainer.config.overrides import compose_run

    shutil.copytree(finished / "outputs", tmp_path / "outputs")
    run = tmp_path / "outputs" / "run"
    entries = summary(run) | {"device": dry_run_device()}
    config = compose_run([*TINY]).config
    (run / "summary.json").write_text(json.dumps(entries))
    paces = dry_run.finished_runs({tmp_path}, config).values()
    assert [*paces] == [(entries["seconds"] / 12, "finished runs")]
    entries |= {"device": "another"} if change == "device" else {}
    entries |= {"status": "failed"} if change == "status" else {}
    entries |= {"seconds": None} if change == "seconds" else {}
    if change == "config":
        (run / "config.yaml").write_text("[")
    (run / "summary.json").write_text(json.dumps(entries))
    assert dry_run.finished_runs({tmp_path}, config) == {}


def test_steps_are_timed_where_no_run_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", *TINY, "epochs=1", "seed=1,2"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[-3:] for line in out[1:3]] == [
        ["timed", "steps", "seed=1"],
        ["timed", "steps", "seed=2"],
    ]
    assert not list(tmp_path.iterdir())


def test_a_search_is_shown_by_what_it_chooses_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dry_run, "timed", lambda config: 1.0)
    assert main(["plan", "-m", *TINY, "search=lr", "search.n_trials=5"]) == 0
    out = capsys.readouterr().out
    assert "each of 5  24     24.0 s  timed steps  optimizer.lr=tag(log, interval(0.005, " in out
    assert "5 jobs, 120 steps, about 2 min one after the other; nothing was run" in out


def test_what_cannot_be_is_refused_as_the_sweep_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", *LINEAR, "epochs=3,0"]) == 2
    assert "job 1 (" in capsys.readouterr().err
    assert main(["plan", *LINEAR, "optimizer.lrr=1,2"]) == 2
    assert "did you mean optimizer.lr?" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
