"""What must hold on a GPU; every test here is skipped without one.

`test_cuda_on_stand_in.py` takes all of them through the stand-in.
"""

import contextlib
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from comparison import assert_equal_runs, metrics, state
from processes import Trainer, train

from trainer.config.overrides import compose_run
from trainer.data import synthetic
from trainer.data.device_loader import DeviceLoader
from trainer.data.epoch_table import epoch_table
from trainer.data.torchvision_loader import TorchvisionLoader
from trainer.inference.evaluation import evaluate
from trainer.inference.trained import load_trained
from trainer.inference.which_checkpoint import resolve
from trainer.optimizers.build import place_lrs
from trainer.training.build import build_run
from trainer.training.checkpoint_thread import CheckpointThread
from trainer.training.graph import CapturedEvaluator, GraphEngine
from trainer.training.range_test import run_range_test
from trainer.training.run import Run

pytestmark = pytest.mark.cuda
DEVICE = torch.device("cuda:0")
BASE = ["data=synthetic", "device=cuda", "data.train_images=2000", "data.test_images=200"]
RECIPE = [*BASE, "batch_size=50", "epochs=30", "log.every_steps=5", "scheduler.warmup=1.5"]


@pytest.mark.parametrize("engine", ["eager", "graph"])
@pytest.mark.parametrize("amp", ["none", "bf16", "fp16"])
def test_a_run_killed_anywhere_ends_as_one_never_touched(
    amp: str, engine: str, tmp_path: Path
) -> None:
    recipe = [*RECIPE, f"amp={amp}", f"engine={engine}"]
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
    ours = DeviceLoader(images, DEVICE, batch_size=32, padding=4)
    theirs = TorchvisionLoader(images, DEVICE, batch_size=32, padding=4, workers=0)
    for step in range(5):
        batch, labels = ours.batch(table, step)
        expected, expected_labels = theirs.batch(table, step)
        assert torch.equal(batch, expected)
        assert torch.equal(labels, expected_labels)


def built(*arguments: str) -> Run:
    return build_run(compose_run([*RECIPE, *arguments]).config)


def trained(run: Run, epochs: int) -> None:
    for epoch in range(epochs):
        run.engine.begin(run.augmentation.table(0, epoch, len(run.data.train)))
        for step in range(run.steps_per_epoch):
            run.engine.train_on(step)
        if epoch + 1 < epochs:
            run.sums.clear()


def everything(run: Run) -> dict[str, torch.Tensor]:
    """Weights, optimizer state and sums."""
    slots = {
        f"{number}/{name}": value
        for number, state in run.optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    sums = {f"sums/{name}": value for name, value in run.sums.total().items()}
    average = {f"ema/{name}": value for name, value in run.evaluated.state_dict().items()}
    held = run.model.state_dict() | average | slots | sums
    return {k: v.cpu().clone() for k, v in held.items()}


MODES = [("none", "sgd"), ("bf16", "sgd"), ("fp16", "sgd"), ("bf16", "adam"), ("fp16", "adamw")]


def test_the_graph_is_the_default_on_cuda() -> None:
    assert isinstance(built().engine, GraphEngine)
    assert isinstance(built().evaluator, CapturedEvaluator)
    assert not isinstance(built("engine=eager").engine, GraphEngine)
    cycles_momentum = compose_run([*BASE, "scheduler=onecycle"]).config
    assert not isinstance(build_run(cycles_momentum).engine, GraphEngine)


@pytest.mark.parametrize(("amp", "optimizer"), MODES)
@pytest.mark.parametrize(
    "more",
    [
        [],
        ["accumulate=2", "clip_norm=1.0", "label_smoothing=0.1"],
        ["model=vgg_bn", "data.cutout=8", "mixup=1", "ema=0.9", "test_time_flip=true"],
    ],
)
def test_eager_and_graph_agree_bit_for_bit(amp: str, optimizer: str, more: list[str]) -> None:
    # 130 images in batches of 50: two graphs, the second for the short last batch
    mode = [f"amp={amp}", f"optimizer={optimizer}", *more, "data.train_images=130",
            "data.drop_last=false"]  # fmt: skip
    eager, graph = built("engine=eager", *mode), built("engine=graph", *mode)
    for run in (eager, graph):
        trained(run, 20)  # 60 steps
    ours, theirs = everything(graph), everything(eager)
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert torch.equal(ours[key], theirs[key]), key
    assert eager.evaluator(eager.evaluated) == graph.evaluator(graph.evaluated)
    assert eager.evaluator(eager.evaluated) == graph.evaluator(graph.evaluated)  # a replay, too
    assert eager.scheduler.last_epoch == graph.scheduler.last_epoch == 60
    assert graph.scaler.state_dict() == eager.scaler.state_dict()


def _draw(*_: object) -> None:
    torch.rand(3, device=DEVICE)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_run_resumed_at_the_end_of_an_epoch_is_captured_there(left: int) -> None:
    """The warm-up has more steps than are left; after a stop in an evaluation none is left."""
    mode = ["data.train_images=130", "data.drop_last=false"]  # 3 steps an epoch
    whole, cut = built("engine=eager", *mode), built("engine=eager", *mode)
    trained(whole, 2)
    table = cut.augmentation.table(0, 0, len(cut.data.train))
    cut.engine.begin(table)
    for step in range(3 - left):
        cut.engine.train_on(step)
    resumed = built("engine=graph", *mode)
    resumed.model.load_state_dict(cut.model.state_dict())
    resumed.optimizer.load_state_dict(cut.optimizer.state_dict())
    place_lrs(resumed.optimizer)
    resumed.scheduler.load_state_dict(cut.scheduler.state_dict())
    resumed.sums.load_state_dict(cut.sums.total(), 3 - left, resumed.peers)
    resumed.engine.begin(table)
    for step in range(3 - left, 3):
        resumed.engine.train_on(step)
    resumed.sums.clear()
    resumed.engine.begin(resumed.augmentation.table(0, 1, len(cut.data.train)))
    for step in range(3):
        resumed.engine.train_on(step)
    ours, theirs = everything(resumed), everything(whole)
    for key in theirs:
        assert torch.equal(ours[key], theirs[key]), key


@pytest.mark.parametrize(("amp", "optimizer"), MODES)
def test_capturing_leaves_no_trace(amp: str, optimizer: str) -> None:
    run = built(f"amp={amp}", f"optimizer={optimizer}")
    run.model.register_forward_hook(_draw)  # as a network with dropout does
    before, scaler = everything(run), run.scaler.state_dict()
    random = torch.cuda.get_rng_state()
    run.engine.begin(epoch_table(0, 0, len(run.data.train), padding=4, flip=True))
    after = everything(run)
    assert torch.equal(random, torch.cuda.get_rng_state())
    assert run.scaler.state_dict() == scaler
    for key, value in after.items():
        assert torch.equal(value, before.get(key, torch.zeros_like(value))), key


@pytest.mark.parametrize("engine", ["eager", "graph"])
def test_a_run_repeats_bit_for_bit_although_torch_flags_max_pool(engine: str) -> None:
    first, second = built(f"engine={engine}"), built(f"engine={engine}")
    for run in (first, second):
        trained(run, 5)
    ours, theirs = everything(first), everything(second)
    for key in ours:
        assert torch.equal(ours[key], theirs[key]), key


@pytest.mark.parametrize("engine", ["eager", "graph"])
def test_an_fp16_overflow_is_skipped_and_counted(engine: str) -> None:
    run = built("amp=fp16", f"engine={engine}")
    run.scaler.load_state_dict(run.scaler.state_dict() | {"scale": 2.0**40})
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.engine.begin(epoch_table(0, 0, len(run.data.train), padding=4, flip=True))
    run.engine.train_on(0)
    assert int(run.sums.skipped) == 1
    assert run.scaler.get_scale() == 2.0**39
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert run.scheduler.last_epoch == 1  # the position moves on


@contextlib.contextmanager
def waiting_is_an_error() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
        try:
            torch.cuda.set_sync_debug_mode("error")
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("amp", ["none", "bf16", "fp16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("clip", ["null", "1.0"])
@pytest.mark.parametrize("engine", ["eager", "graph"])
def test_an_epoch_never_waits_for_the_device(
    amp: str, optimizer: str, clip: str, engine: str
) -> None:
    run = built(f"amp={amp}", f"optimizer={optimizer}", f"clip_norm={clip}", f"engine={engine}")
    tables = [epoch_table(0, e, len(run.data.train), padding=4, flip=True) for e in range(2)]
    run.engine.begin(tables[0])
    for step in range(3):  # plans and workspaces are made in the first steps
        run.engine.train_on(step)
    torch.cuda.synchronize()
    run.sums.clear()
    with waiting_is_an_error():
        run.engine.begin(tables[1])
        for step in range(20):
            run.engine.train_on(step)
    assert run.sums.losses[:20].isfinite().all()


def test_the_lr_in_force_is_the_schedules(tmp_path: Path) -> None:
    for engine in ("eager", "graph"):
        run = built(f"engine={engine}", "scheduler.warmup=10 steps")
        run.engine.begin(epoch_table(0, 0, len(run.data.train), padding=4, flip=True))
        for k in range(15):
            run.engine.train_on(k)
            # the graph reads step k's from its table, eager writes the next one at once
            expected = run.scheduler.lrs(k if engine == "graph" else k + 1)[0]
            assert float(run.optimizer.param_groups[0]["lr"]) == torch.tensor(expected).item()


def test_a_commit_does_not_see_what_comes_after_it() -> None:
    run = built()
    trained(run, 1)
    commits, seen = CheckpointThread(run.device), list[dict[str, Any]]()
    expected = {name: value.clone() for name, value in run.model.state_dict().items()}
    commits.begin(run.state_dict(), seen.append, lambda: None)
    run.sums.clear()
    trained(run, 1)
    commits.wait()
    commits.close()
    for name, value in seen[0]["model"].items():
        assert value.device.type == "cpu"
        assert torch.equal(value, expected[name].cpu())
    assert not torch.equal(expected["fc2.weight"], run.model.state_dict()["fc2.weight"])


@pytest.mark.parametrize("engine", ["eager", "graph"])
@pytest.mark.parametrize("amp", ["none", "bf16", "fp16"])
def test_an_evaluation_repeats_the_runs_own_row(amp: str, engine: str, tmp_path: Path) -> None:
    train([*RECIPE, "epochs=2", f"amp={amp}", f"engine={engine}", "hydra.run.dir=run"], tmp_path)
    found = evaluate(load_trained(resolve(tmp_path / "run", "last"), {}), "test")
    row = metrics(tmp_path / "run")[-1]
    assert found.scores.accuracy == row["test/accuracy"]
    assert found.scores.loss == pytest.approx(row["test/loss"], rel=1e-6)
    assert ("fp32" if amp == "none" else amp) in found.computed


def test_a_range_test_is_captured_like_a_training() -> None:
    config = compose_run([*RECIPE, "amp=none", "model=vgg_bn"]).config  # vgg takes longer to learn
    tests = []
    for engine in ("eager", "graph"):
        config.engine = engine
        tests.append(run_range_test(config, lowest=1e-4, highest=1e-1, updates=60))
    assert tests[0].lrs == tests[1].lrs
    assert tests[0].losses == pytest.approx(tests[1].losses, rel=1e-3)
    assert tests[0].losses[-1] != pytest.approx(tests[0].losses[0], rel=1e-3)
