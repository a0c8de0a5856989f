"""`trainer.verify_resume` as a user runs it: silent where nothing is wrong, exact elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import TINY

from trainer import verify_resume

ROOT = Path(__file__).parents[2]
RUN = [*TINY, "data.train_images=400", "epochs=3"]


def command(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trainer.verify_resume", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_random_kills_end_identical_and_leave_nothing(tmp_path: Path) -> None:
    kills = "20" if os.environ.get("TRAINER_ALL_PROOFS") == "1" else "5"
    done = command([*RUN, "--kills", kills], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"identical: {kills} kills (")
    assert "content sha256" in last
    assert not list(tmp_path.iterdir())


def test_a_mistake_is_the_trainers_one_line(tmp_path: Path) -> None:
    done = command([*RUN, "optimizer.lrr=1"], tmp_path)
    assert done.returncode == 2
    assert "did you mean optimizer.lr?" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert command([*RUN, "resume=auto"], tmp_path).returncode == 2
    assert command([*RUN, "--kills", "0"], tmp_path).returncode == 2


@pytest.mark.slow
def test_a_resume_that_loses_the_momentum_is_shown_with_place_and_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Teeth: the killed runs alone get a fault."""
    start = verify_resume._start

    def broken(run: list[str], folder: Path, name: str):
        if name.startswith("untouched"):
            return start(run, folder, name)
        arguments = [*run, f"hydra.run.dir={folder / name}"]
        return verify_resume.TrainerProcess(
            arguments, tmp_path, printed=folder, prepare=_forget_momentum
        )

    monkeypatch.setattr(verify_resume, "_start", broken)
    every = [*RUN, "checkpoint.every_steps=1", "amp=none"]
    code = verify_resume.main(
        [*every, "--kills", "8", "--seed", "0", "--folder", str(tmp_path / "f")]
    )
    said = capsys.readouterr().out
    assert code == 1, said
    line = next(line for line in said.splitlines() if line.startswith("different: "))
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
