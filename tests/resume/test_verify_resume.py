"""`trainer.verify_resume` as a user runs it: silent where nothing is wrong, exact elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import TINY

from trainer import verify_resume
from trainer.training import verification

ROOT = Path(__file__).parents[2]
RUN = [*TINY, "data.train_images=400", "epochs=3"]
Captured = pytest.CaptureFixture[str]


def assert_identical(said: str, kills: str) -> None:
    last = said.splitlines()[-1]
    assert last.startswith(f"identical: {kills} kills (")
    assert "content sha256" in last


def test_random_kills_end_identical_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert verify_resume.main([*RUN, "--kills", "3"]) == 0
    said = capfd.readouterr()
    assert not said.err
    assert_identical(said.out, "3")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_is_silent_where_nothing_is_wrong(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainer.verify_resume", *RUN, "--kills", "20"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    assert_identical(done.stdout, "20")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer.lrr=1"], "did you mean optimizer.lr?"),
        (["resume=auto"], "resume: is not for verify_resume"),
        (["--kills", "0"], "--kills 0: must be at least 1"),
    ],
)
def test_a_mistake_is_the_trainers_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert verify_resume.main([*RUN, *words]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert said in line


@pytest.mark.slow
def test_a_resume_that_loses_the_momentum_is_shown_with_place_and_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Teeth: the killed runs alone get a fault."""
    start = verification._start

    def broken(run: list[str], folder: Path, name: str):
        if name.startswith("untouched"):
            return start(run, folder, name)
        arguments = [*run, f"hydra.run.dir={folder / name}"]
        return verification.TrainerProcess(
            arguments, tmp_path, printed=folder, prepare=_forget_momentum
        )

    monkeypatch.setattr(verification, "_start", broken)
    every = [*RUN, "checkpoint.every_steps=1", "amp=none"]
    code = verify_resume.main(
        [*every, "--kills", "8", "--seed", "0", "--folder", str(tmp_path / "f")]
    )
    said, errors = capsys.readouterr()
    assert code == 1, said
    (line,) = [line for line in said.splitlines() if line.startswith("different: ")] or [errors]
    assert "epoch " in line
    assert "step " in line
    assert "values differ, by" in line
    assert "two untouched runs are identical: this is a fault in resuming" in said


def _forget_momentum() -> None:
    import torch

    load = torch.optim.SGD.load_state_dict

    def forget(self: torch.optim.SGD, state: dict[str, object]) -> None:
        load(self, state)
        for slots in self.state.values():
            slots["momentum_buffer"].zero_()

    torch.optim.SGD.load_state_dict = forget
