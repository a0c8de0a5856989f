"""Stopping a run while it starts, trains, evaluates; once and twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import TINY, Trainer, train

from trainer.cli.signals import Stopped, stop_requests

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("module", ["trainer", "trainer.preview"])
def test_a_stop_while_starting_ends_at_once_without_a_word(
    number: int, code: int, module: str, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", module, *TINY, "epochs=100", "hydra.run.dir=run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(0.3 if module == "trainer" else 0.12)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode in (code, -number)
    assert "Traceback" not in out + err


def test_the_first_signal_is_remembered_and_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_requests() as stop:
        assert not stop
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
        assert str(Stopped(signal.SIGTERM)) == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) == before


def test_ctrl_c_commits_and_a_second_one_does_not_wait(tmp_path: Path) -> None:
    process = Trainer([*TINY, "epochs=200", "hydra.run.dir=run"], tmp_path)
    process.wait_for("epoch   1/200")
    process.kill(signal.SIGINT)
    process.kill(signal.SIGINT)
    assert process.code() == 130
    assert "Traceback" not in process.err
    resumed = Trainer(["resume=run"], tmp_path)
    resumed.wait_for("resumed from")
    resumed.kill(signal.SIGINT)
    assert resumed.code() == 130
    assert "stopped by SIGINT after step" in resumed.err
    assert "resume=" in resumed.err


def test_a_stop_before_the_first_update_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    process = Trainer([*TINY, "hydra.run.dir=run"], tmp_path)
    process.wait_for("run folder:")
    process.kill(signal.SIGTERM)
    assert process.code() in (0, 143)
    train(["resume=run"], tmp_path)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 4
