"""Whole small runs: they learn, evaluate, choose the best and say what they did."""

import json
from pathlib import Path

import pytest
import torch
from processes import TINY, train

from trainer.data import synthetic
from trainer.models.options import VGG
from trainer.storage import checkpoint
from trainer.training.evaluation import Evaluator

CPU = torch.device("cpu")


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_learns_a_few_images_by_heart(tmp_path: Path) -> None:
    arguments = [
        "data=synthetic",
        "data.pattern=shapes",
        "device=cpu",
        "data.train_images=40",
        "data.test_images=20",
        "batch_size=20",
    ]
    arguments += ["epochs=60", "optimizer=adam", "scheduler=constant", "optimizer.weight_decay=0"]
    arguments += ["data.crop_padding=0", "data.flip=false", "evaluate_every=20"]
    train([*arguments, "hydra.run.dir=run"], tmp_path)
    rows = lines(tmp_path / "run" / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [*range(1, 61)]
    assert [row["epoch"] for row in rows if "test/accuracy" in row] == [20, 40, 60]
    assert rows[-1]["train/accuracy"] == 1.0
    assert rows[-1]["train/loss"] < 0.05
    assert rows[-1]["test/accuracy"] < 0.9


def test_a_validation_set_keeps_the_test_set_for_the_end(tmp_path: Path) -> None:
    process = train([*TINY, "data.val_size=20", "hydra.run.dir=run"], tmp_path)
    rows = lines(tmp_path / "run" / "metrics.jsonl")
    assert all("val/accuracy" in row and "test/accuracy" not in row for row in rows)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["best"]["monitor"] == "val/accuracy"
    assert {"test_best", "test_last"} <= summary.keys()
    assert "test set, best weights" in process.out
    assert "chosen on the test set" not in process.err
    last = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.pt")
    model = VGG().build(10).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.load_state_dict(last["model"])
    images = synthetic.make(0, 120, 40)[1]
    precision = summary["precision"]
    loss, accuracy = Evaluator.on(images, CPU, precision)(model)
    assert summary["test_last"]["accuracy"] == accuracy
    assert summary["test_last"]["loss"] == pytest.approx(loss, rel=1e-4)


def test_the_best_weights_are_those_of_the_best_row(tmp_path: Path) -> None:
    train([*TINY, "epochs=6", "checkpoint.keep_last=9", "hydra.run.dir=run"], tmp_path)
    rows = lines(tmp_path / "run" / "metrics.jsonl")
    best = max(rows, key=lambda row: row["test/accuracy"])  # the first of equals
    folder = tmp_path / "run" / "checkpoints"
    kept = checkpoint.load(folder / "best.pt")["model"]
    same = checkpoint.load(folder / f"step_{int(best['step']):08d}.pt")["model"]
    assert all(torch.equal(kept[name], same[name]) for name in kept)
    assert len(list(folder.glob("step_*.pt"))) == 7


def test_the_best_epoch_is_committed_whatever_the_interval(tmp_path: Path) -> None:
    arguments = [*TINY, "epochs=5", "checkpoint.every_epochs=4", "hydra.run.dir=run"]
    train(arguments, tmp_path)
    rows = lines(tmp_path / "run" / "metrics.jsonl")
    best = max(rows, key=lambda row: row["test/accuracy"])
    kept = checkpoint.load(tmp_path / "run" / "checkpoints" / "best.pt")
    assert kept["progress"]["step"] == best["step"]


def test_evaluation_equals_a_plain_loop_over_single_images() -> None:
    torch.manual_seed(0)
    model = VGG().build(10)
    images = synthetic.make(0, 10, 37)[1]
    evaluator = Evaluator.on(images, CPU, "none")
    loss, accuracy = evaluator(model)
    assert model.training
    mean = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1)
    std = torch.tensor([0.2023, 0.1994, 0.2010]).view(3, 1, 1)
    losses, right = 0.0, 0
    with torch.no_grad():
        for image, label in zip(images.images, images.labels, strict=True):
            logits = model(((image.permute(2, 0, 1) / 255 - mean) / std)[None])
            losses += float(torch.nn.functional.cross_entropy(logits, label[None]))
            right += int(logits.argmax() == label)
    assert loss == pytest.approx(losses / 37, rel=1e-5)
    assert accuracy == right / 37


def test_a_short_last_batch_counts_by_its_images(tmp_path: Path) -> None:
    run = ["data.train_images=50", "data.drop_last=false", "epochs=1", "optimizer.lr=1e-12"]
    train(
        [*TINY, *run, "amp=none", "data.crop_padding=0", "data.flip=false", "hydra.run.dir=run"],
        tmp_path,
    )
    row = lines(tmp_path / "run" / "metrics.jsonl")[0]
    assert row["step"] == 3
    torch.manual_seed(0)
    model = VGG().build(10)
    loss, accuracy = Evaluator.on(synthetic.make(0, 50, 40)[0], CPU, "none")(model)
    assert row["train/loss"] == pytest.approx(loss, rel=1e-5)
    assert row["train/accuracy"] == pytest.approx(accuracy)


def test_cycled_momentum_is_logged_and_resumed(tmp_path: Path) -> None:
    import signal

    from comparison import assert_equal_runs, events
    from processes import Trainer

    recipe = [*TINY, "scheduler=onecycle"]
    train([*recipe, "hydra.run.dir=whole"], tmp_path)
    momenta = {step: value for tag, step, value in events(tmp_path / "whole") if tag == "momentum"}
    assert momenta[1] == pytest.approx(0.95)
    assert min(momenta.values()) == pytest.approx(0.85, abs=5e-3)
    process = Trainer([*recipe, "hydra.run.dir=cut"], tmp_path)
    process.wait_for("epoch 2/4")
    process.kill(signal.SIGKILL)
    process.code()
    train(["resume=cut"], tmp_path)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_the_summary_says_what_was_run_and_where(tmp_path: Path) -> None:
    process = train([*TINY, "name=mine", "hydra.run.dir=run"], tmp_path)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "done"
    assert (summary["name"], summary["epochs"], summary["updates"]) == ("mine", 4, 24)
    assert summary["parameters"] == 688_224
    assert summary["command"][:3] == ["python", "-m", "trainer"]
    assert summary["versions"]["torch"] == torch.__version__
    config = (tmp_path / "run" / "config.yaml").read_text()
    for name in ("name: vgg", "name: sgd", "name: warmup", "name: cosine", "name: synthetic"):
        assert name in config
    assert "\x1b" not in process.out + process.err  # no bar and no colours in a file
    assert process.out.count("epoch ") >= 4
