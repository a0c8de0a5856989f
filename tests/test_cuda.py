"""What must hold on a GPU; every test here is skipped without one."""

import signal
from pathlib import Path

import pytest
import torch
from comparison import assert_equal_runs, metrics, state
from processes import Trainer, train

from trainer.arguments import compose_run
from trainer.data import synthetic
from trainer.data.device_loader import DeviceLoader
from trainer.data.epoch_table import epoch_table
from trainer.data.torchvision_loader import TorchvisionLoader
from trainer.run import Run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
BASE = ["data=synthetic", "device=cuda", "data.train_images=2000", "data.test_images=200"]
RECIPE = [*BASE, "batch_size=50", "epochs=30", "log.every_steps=5", "scheduler.warmup=1.5"]


@pytest.mark.parametrize("amp", ["none", "bf16", "fp16"])
def test_a_run_killed_anywhere_ends_as_one_never_touched(amp: str, tmp_path: Path) -> None:
    recipe = [*RECIPE, f"amp={amp}"]
    train([*recipe, "hydra.run.dir=whole"], tmp_path)
    train([*recipe, "hydra.run.dir=again"], tmp_path)
    assert_equal_runs(tmp_path / "whole", tmp_path / "again")
    for number, (how, code) in enumerate(((signal.SIGKILL, -9), (signal.SIGTERM, 143))):
        process = Trainer([*recipe, f"hydra.run.dir=cut{number}"], tmp_path)
        process.wait_for("epoch  2/30")
        process.kill(how)
        assert process.code() == code
        train([f"resume=cut{number}"], tmp_path)
        assert_equal_runs(tmp_path / "whole", tmp_path / f"cut{number}")


def test_another_seed_differs(tmp_path: Path) -> None:
    for seed in (0, 1):
        train([*RECIPE, "epochs=2", f"seed={seed}", f"hydra.run.dir=run{seed}"], tmp_path)
    ours, other = (state(tmp_path / f"run{seed}")["model/fc2.weight"] for seed in (0, 1))
    assert not torch.equal(ours, other)
    assert metrics(tmp_path / "run0") != metrics(tmp_path / "run1")


def test_both_loaders_give_equal_batches_on_the_device() -> None:
    images = synthetic.make(0, 150, 10)[0]
    table = epoch_table(0, 3, len(images), padding=4, flip=True)
    device = torch.device("cuda:0")
    ours = DeviceLoader(images, device, batch_size=32, padding=4)
    theirs = TorchvisionLoader(images, device, batch_size=32, padding=4, workers=1)
    for step in range(5):
        batch, labels = ours.batch(table, step)
        expected, expected_labels = theirs.batch(table, step)
        assert torch.equal(batch, expected)
        assert torch.equal(labels, expected_labels)


@pytest.mark.parametrize("amp", ["none", "bf16", "fp16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("clip", ["null", "1.0"])
def test_an_epoch_never_waits_for_the_device(amp: str, optimizer: str, clip: str) -> None:
    arguments = [*RECIPE, f"amp={amp}", f"optimizer={optimizer}", f"clip_norm={clip}"]
    run = Run.build(compose_run(arguments).config)
    table = epoch_table(0, 0, len(run.data.train), padding=4, flip=True)
    for step in range(3):  # plans and workspaces are made in the first updates
        run.update(*run.loader.batch(table, step), run.sums, step)
        run.scheduler.step()
    torch.cuda.synchronize()
    table = epoch_table(0, 1, len(run.data.train), padding=4, flip=True)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(3, 20):
            run.update(*run.loader.batch(table, step), run.sums, step)
            run.scheduler.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert run.sums.losses[:20].isfinite().all()
