"""The same promises under `torchrun` itself: its signals, its restarts, several of them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from comparison import assert_equal_runs
from teams import team

from trainer.storage import run_folder

PROJECT = Path(__file__).parents[2]
RUN = [
    "data=synthetic", "device=cpu", "data.train_images=240", "data.test_images=40",
    "batch_size=24", "epochs=6", "log.every_steps=2", "amp=none", "optimizer.lr=0.1",
]  # fmt: skip
ONE_NODE = ("--standalone", "--nproc_per_node=2")
SECONDS = 240  # far beyond what it takes on an idle machine


class Launcher:
    """`torchrun`, and what it and its processes print."""

    def __init__(self, folder: Path, launcher: tuple[str, ...], *arguments: str) -> None:
        self.printed = folder / f"launcher_{len(list(folder.glob('launcher_*')))}.out"
        with self.printed.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "torch.distributed.run", *launcher,
                 "-m", "trainer", *RUN, *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
                stdout=out,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self.printed.read_text()

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + SECONDS
        while text not in self.said:
            assert time.monotonic() < end, self.said
            assert self.process.poll() is None, self.said
            time.sleep(0.02)

    def code(self) -> int:
        return self.process.wait(SECONDS)

    def trainers(self) -> list[int]:
        """The processes that train, in the order of their ranks."""
        pid = self.process.pid
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in found]


@contextlib.contextmanager
def launched(folder: Path, launcher: tuple[str, ...], *arguments: str) -> Generator[Launcher]:
    started = Launcher(folder, launcher, *arguments)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.terminate()
            started.process.wait()


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("through")
    team([*RUN, "hydra.run.dir=run"], folder, 2)
    return folder / "run"


def test_a_launcher_told_to_stop_leaves_a_commit_to_go_on_from(
    tmp_path: Path, through: Path
) -> None:
    arguments = ("hydra.run.dir=run", "resume=auto")
    with launched(tmp_path, ONE_NODE, *arguments) as launcher:
        launcher.wait_for("epoch 1/6")
        processes = launcher.trainers()
        assert len(processes) == 2
        began = time.monotonic()
        launcher.process.send_signal(signal.SIGTERM)
        assert launcher.code() != 0
        assert time.monotonic() - began < 30, launcher.said  # torchrun's grace
        assert launcher.said.count("stopped by SIGTERM after step") == 1
        assert not any(Path(f"/proc/{pid}").exists() for pid in processes)
    assert len(run_folder.checkpoints(tmp_path / "run")) == 2
    with launched(tmp_path, ONE_NODE, *arguments) as again:
        assert again.code() == 0, again.said
    assert_equal_runs(through, tmp_path / "run")


@pytest.mark.slow
def test_a_launcher_that_restarts_a_killed_process_ends_as_if_nothing_had_been(
    tmp_path: Path, through: Path
) -> None:
    # a folder with the time in its name: each start by itself would make a new one
    restarts = (*ONE_NODE, "--max-restarts=3")
    with launched(tmp_path, restarts, "hydra.run.dir=runs/${now:%H-%M-%S}") as launcher:
        launcher.wait_for("epoch 2/6")
        os.kill(launcher.trainers()[1], signal.SIGKILL)
        assert launcher.code() == 0, launcher.said
        assert "resumed from" in launcher.said
    (folder,) = (tmp_path / "runs").iterdir()
    assert_equal_runs(through, folder)


@pytest.mark.slow
def test_two_launchers_train_one_run(tmp_path: Path, through: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
    node = ("--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d", f"--rdzv_endpoint={place}")
    arguments = (tmp_path, node, "hydra.run.dir=run")
    with launched(*arguments) as one, launched(*arguments) as other:
        said = f"{one.code()} {other.code()}\n{one.said}{other.said}"
    assert said.startswith("0 0\n"), said
    assert said.count("epoch 6/6") == 1
    assert_equal_runs(through, tmp_path / "run")
