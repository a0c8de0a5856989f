"""The moving average of the weights, against torch's own."""

import copy
import json
from pathlib import Path

import pytest
import torch
from processes import TINY, train
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainer.config.overrides import compose_run
from trainer.storage import checkpoint
from trainer.storage.weights import evaluated_weights
from trainer.training.build import build_run
from trainer.training.evaluation import Evaluator
from trainer.training.weight_average import WeightAverage


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 10))


def test_it_equals_torchs_averaged_model_bit_for_bit() -> None:
    model = network()
    ours = WeightAverage(model, 0.9)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    theirs.update_parameters(model)  # its first call copies: from the initial weights on, as ours
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(8, 3, 8, 8)).square().mean().backward()
        optimizer.step()
        ours.update()
        theirs.update_parameters(model)
    expected = theirs.module.state_dict()
    for name, value in ours.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, expected[name]), name
            assert not torch.equal(value, model.state_dict()[name]), name
    assert int(ours.state_dict()["1.num_batches_tracked"]) == 5


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight


def test_weights_with_two_names_move_once() -> None:
    model = Tied()
    ours = WeightAverage(model, 0.9)
    before = model.first.weight.detach().clone()
    with torch.no_grad():
        model.first.weight += 1
    ours.update()
    for name in ("first.weight", "second.weight"):
        assert torch.allclose(ours.state_dict()[name], before + 0.1)
    assert ours.state_dict().keys() == model.state_dict().keys()


def test_it_does_not_train_and_keeps_the_memory_format() -> None:
    model = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = WeightAverage(model, 0.9)
    assert not any(p.requires_grad for p in average.model.parameters())
    weight = average.model.state_dict()["0.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert weight.data_ptr() != model.state_dict()["0.weight"].data_ptr()


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("averaged")
    run = [*TINY, "ema=0.9", "checkpoint.keep_last=9", "data.val_size=20", "hydra.run.dir=run"]
    process = train(run, folder)
    assert "evaluated, and kept as the best: the averaged weights (ema=0.9)" in process.out
    return folder / "run"


def test_what_is_evaluated_is_the_average_and_the_checkpoint_has_it(averaged: Path) -> None:
    rows = [json.loads(line) for line in (averaged / "metrics.jsonl").read_text().splitlines()]
    config = compose_run([*TINY, "ema=0.9", "data.val_size=20"]).config
    run = build_run(config)
    evaluator = Evaluator.on(run.data.evaluation, run.device, run.precision)
    raw: list[float] = []
    for row in rows:
        state = checkpoint.load(averaged / "checkpoints" / f"step_{row['step']:08d}.pt")
        assert evaluated_weights(state) is state["ema"]
        run.model.load_state_dict(state["ema"])
        assert evaluator(run.model) == (row["val/loss"], row["val/accuracy"])
        run.model.load_state_dict(state["model"])
        raw.append(evaluator(run.model)[0])
    assert raw != [row["val/loss"] for row in rows]
    best = checkpoint.load(averaged / "checkpoints" / "best.pt")
    assert best["progress"]["step"] == max(rows, key=lambda row: row["val/accuracy"])["step"]
    test = Evaluator.on(run.data.test, run.device, run.precision)
    summary = json.loads((averaged / "summary.json").read_text())
    for name in ("last", "best"):
        run.model.load_state_dict(checkpoint.load(averaged / f"checkpoints/{name}.pt")["ema"])
        assert test(run.model) == tuple(summary[f"test_{name}"].values())


def test_a_run_from_its_weights_begins_with_the_average(averaged: Path, tmp_path: Path) -> None:
    start = [*TINY, "epochs=1", "optimizer.lr=1e-12", "ema=0.5", f"init={averaged}"]
    train([*start, "hydra.run.dir=new"], tmp_path)
    wanted = checkpoint.find(averaged).state["ema"]
    state = checkpoint.find(tmp_path / "new").state
    for name, value in wanted.items():
        torch.testing.assert_close(state["model"][name], value)
        torch.testing.assert_close(state["ema"][name], value)


def test_the_mean_over_an_image_and_its_mirror_image() -> None:
    config = compose_run([*TINY, "test_time_flip=true", "amp=none"]).config
    run = build_run(config)
    assert isinstance(run.evaluator, Evaluator)
    images, labels = next(run.evaluator.batches())
    model = copy.deepcopy(run.model).eval()
    pixels = run.evaluator.normalise(images)
    from torchvision.transforms.functional import hflip

    expected = torch.stack([model(pixels), model(hflip(pixels))]).mean(0)
    with torch.no_grad():
        torch.testing.assert_close(run.evaluator.logits(model, images), expected)
    loss = nn.functional.cross_entropy(expected, labels).item()
    assert run.evaluator(run.model)[0] == pytest.approx(loss)
    assert build_run(compose_run([*TINY, "amp=none"]).config).evaluator(run.model)[0] != loss
