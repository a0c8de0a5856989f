"""Stopping a command while it starts; tests/resume has what comes later."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import TINY

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
