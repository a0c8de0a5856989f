"""The program from Python: the same runs as by the command."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from comparison import assert_equal_runs
from processes import TINY
from standard_runs import StandardRuns

import trainer


def test_importing_it_costs_no_torch() -> None:
    check = (
        "import sys, trainer; trainer.curves('scheduler=cosine'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", f"import sys, trainer; {check}"], check=True)


def test_a_run_is_the_commands(standard: StandardRuns, tmp_path: Path) -> None:
    run = trainer.train(*TINY, f"hydra.run.dir={tmp_path / 'from_python'}")
    assert run.folder == tmp_path / "from_python"
    assert_equal_runs(standard.of(), run.folder)
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4]
    saved = torch.load(run.folder / "checkpoints" / "last.pt", weights_only=True)["model"]
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, saved[name])


def test_a_mistake_is_an_exception(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean epochs"):
        trainer.train("epoch=3", f"hydra.run.dir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


def test_curves_are_those_that_train() -> None:
    one, other = trainer.curves("scheduler=cosine,steplr", "epochs=2", "data=synthetic")
    assert one.lrs[0] == other.lrs[0] == 0.04
    assert len(one.lrs) == 2 * one.steps_per_epoch
