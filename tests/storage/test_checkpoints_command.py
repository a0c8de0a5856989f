"""`trainer.checkpoints`: inspect, diff, verify."""

from pathlib import Path

import pytest
import torch
from processes import TINY, train

from trainer.checkpoints import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        train([*TINY, "epochs=2", f"seed={seed}", f"hydra.run.dir={name}"], folder)
    return folder


def test_inspect_says_what_a_checkpoint_holds(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(runs / "one"), "--tensors"]) == 0
    said = capsys.readouterr().out
    for part in ("step_00000012.pt: whole", "2 of 2 epochs, step 12", "vgg", "warmup", "sha256",
                 "test/accuracy", "model/conv1.weight  torch.float32 (32, 3, 3, 3)"):  # fmt: skip
        assert part in said, said
    step = runs / "one" / "checkpoints" / "step_00000012.pt"
    assert torch.load(step, weights_only=True)["progress"]["step"] == 12


def test_diff_knows_equal_content_and_names_what_differs(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", str(runs / "one"), str(runs / "same")]) == 0
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
