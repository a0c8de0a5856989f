"""`trainer.checkpoints`: inspect, diff, verify."""

from pathlib import Path

import pytest
import torch
from standard_runs import StandardRuns

from trainer.checkpoints import main


@pytest.fixture(scope="module")
def runs(standard: StandardRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    standard.copy(folder / "one")
    standard.copy(folder / "other", "seed=1")
    return folder


def test_inspect_says_what_a_checkpoint_holds(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(runs / "one"), "--tensors"]) == 0
    said = capsys.readouterr().out
    for part in ("step_00000024.pt: whole", "4 of 4 epochs, step 24", "vgg", "warmup", "sha256",
                 "test/accuracy", "model/conv1.weight  torch.float32 (32, 3, 3, 3)"):  # fmt: skip
        assert part in said, said
    step = runs / "one" / "checkpoints" / "step_00000024.pt"
    assert torch.load(step, weights_only=True)["progress"]["step"] == 24


def test_diff_knows_equal_content_and_names_what_differs(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = runs / "one" / "checkpoints" / "last.pt"
    assert main(["diff", str(runs / "one"), str(last)]) == 0
    assert "equal bit for bit" in capsys.readouterr().out
    assert main(["diff", str(runs / "one"), str(runs / "other")]) == 1
    said = capsys.readouterr().out
    assert "settings: 1 differ" in said
    assert "seed: 0 against 1" in said
    assert "model/conv1.weight: " in said
    assert "more" in said


def test_verify_finds_the_damaged_file(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(runs / "one"), str(runs / "other")]) == 0
    assert capsys.readouterr().out.count(": whole, step") == 8
    damaged = tmp_path / "damaged.pt"
    content = bytearray((runs / "one" / "checkpoints" / "last.pt").read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert main(["verify", str(runs / "one"), str(damaged)]) == 1
    said = capsys.readouterr().out
    assert f"{damaged}: is damaged: its content does not match its checksum" in said
    assert main(["inspect", str(damaged)]) == 1
    assert main(["inspect", str(tmp_path / "nothing.pt")]) == 1
    assert capsys.readouterr().err.count("\n") == 2
