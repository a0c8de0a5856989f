"""Rungs of a race: the same sweep again with a later `until`."""

from pathlib import Path

from comparison import assert_equal_runs
from processes import TINY, train

from trainer.storage import run_folder


def test_a_sweep_that_is_paused_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    sweep = ["-m", *TINY, "epochs=3", "seed=0,1", "hydra.sweep.dir=sweep"]
    paused = train([*sweep, "until=1"], tmp_path)
    assert paused.out.count(": paused, best") == 2
    assert run_folder.summary(tmp_path / "sweep" / "0")["status"] == "paused"
    assert "2 of 2 jobs done" in train(sweep, tmp_path).out
    train([*TINY, "epochs=3", "seed=1", "hydra.run.dir=alone"], tmp_path)
    assert_equal_runs(tmp_path / "alone", tmp_path / "sweep" / "1")
