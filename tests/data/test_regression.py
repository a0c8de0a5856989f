"""The other task: a linear regression through the same loop, its LR against torch's schedulers."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from comparison import assert_equal_runs, events
from faults import SignalAt
from processes import Trainer, train
from run_folders import write_run
from scipy import stats
from torch import nn
from torch.optim import lr_scheduler

from trainer.config.metrics import TASKS
from trainer.config.overrides import compose_run
from trainer.data import random_regression
from trainer.data.build import load_data
from trainer.data.epoch_table import Augmentation
from trainer.data.options import RandomRegression
from trainer.data.value_loader import ValueLoader
from trainer.report.analysis import analyse
from trainer.report.read import find_runs, read_run
from trainer.report.sentences import comparison_sentence, headline
from trainer.storage import checkpoint
from trainer.training.losses import Regression

CPU = torch.device("cpu")
VARIANTS: dict[str, Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]] = {
    "linear_regression": lambda o: lr_scheduler.StepLR(o, step_size=10, gamma=0.1),
    "linear_regression_exponential": lambda o: lr_scheduler.ExponentialLR(o, gamma=0.95),
    "linear_regression_cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=50),
    "linear_regression_plateau": lambda o: lr_scheduler.ReduceLROnPlateau(
        o, "min", 0.1, patience=5
    ),
}


def rows_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regression")
    for name in VARIANTS:
        process = train([f"experiment={name}", "device=cpu", f"hydra.run.dir={name}"], folder)
        assert "examples/s" in process.out
        assert "accuracy" not in process.out
    return folder


@pytest.mark.parametrize("name", VARIANTS)
def test_its_lr_in_each_epoch_is_that_of_torchs_scheduler(name: str, runs: Path) -> None:
    rows = rows_of(runs / name)
    assert len(rows) == 50
    optimizer = torch.optim.SGD(nn.Linear(10, 1).parameters(), lr=0.1)
    scheduler = VARIANTS[name](optimizer)
    for row in rows:
        assert row["lr"] == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(row["test/loss"])
        else:
            scheduler.step()
    lines = (runs / name / "lr.csv").read_text().splitlines()[1:]
    assert len(lines) == 500


def test_the_steps_are_those_of_the_tutorial(runs: Path) -> None:
    lrs = [row["lr"] for row in rows_of(runs / "linear_regression")]
    for decade, lr in enumerate((0.1, 0.01, 0.001, 1e-4, 1e-5)):
        assert lrs[10 * decade : 10 * decade + 10] == [pytest.approx(lr)] * 10


def test_the_plateau_does_come(runs: Path) -> None:
    assert len({row["lr"] for row in rows_of(runs / "linear_regression_plateau")}) > 1


def test_it_finds_the_least_squares_solution(runs: Path) -> None:
    train_set, test_set, _ = random_regression.make(0, 1000, 200, 0.1)
    ones = torch.ones(1000, 1)
    solution = torch.linalg.lstsq(
        torch.cat([train_set.images, ones], 1), train_set.labels[:, None]
    ).solution.squeeze(1)
    weights = checkpoint.find(runs / "linear_regression_cosine").state["model"]
    torch.testing.assert_close(weights["weight"][0], solution[:10], rtol=0, atol=2e-3)
    torch.testing.assert_close(weights["bias"], solution[10:], rtol=0, atol=2e-3)
    outputs = test_set.images @ weights["weight"][0] + weights["bias"]
    last = rows_of(runs / "linear_regression_cosine")[-1]
    assert last["test/loss"] == pytest.approx(float((outputs - test_set.labels).square().mean()))
    assert last["test/mae"] == pytest.approx(float((outputs - test_set.labels).abs().mean()))


def test_the_best_weights_have_the_lowest_loss_and_every_view_follows(runs: Path) -> None:
    folder = runs / "linear_regression"
    rows = rows_of(folder)
    best = min(rows, key=lambda row: row["test/loss"])
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["best"]["monitor"] == "test/loss"
    assert summary["best"]["epoch"] == best["epoch"]
    kept = checkpoint.load(folder / "checkpoints" / "best.pt")
    assert kept["progress"]["step"] == best["step"]
    tags = {tag for tag, _, _ in events(folder)}
    assert {"lr", "train/loss", "train/mae", "test/loss", "test/mae"} <= tags
    assert not any("accuracy" in tag for tag in tags)


def test_a_sweep_of_it_is_compared_by_the_loss(tmp_path: Path) -> None:
    """The lower the better: order, difference, interval and p are those of scipy."""
    command = ["-m", "experiment=linear_regression", "device=cpu", "epochs=3", "seed=0,1,2"]
    process = train([*command, "optimizer.lr=0.1,1e-4", "hydra.sweep.dir=sweep"], tmp_path)
    folders = find_runs([tmp_path / "sweep"])
    result = analyse([read_run(folder, name) for folder, name in folders])
    good, poor = ([run.final for run in group.runs] for group in result.groups)
    assert max(good) < min(poor)
    expected = stats.ttest_rel(poor, good)
    (comparison,) = result.comparisons
    assert comparison.adjusted_p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    sentence = comparison_sentence(comparison, result.measure)
    assert sentence.startswith("lr=0.0001 is above lr=0.1 by ")
    assert f"(95 % CI {low:#.3g} to {high:#.3g}, " in sentence
    assert headline(result).title == "Take lr=0.1."
    assert "The numbers support that this is less than" in headline(result).text
    assert headline(result).title in process.out
    page = (tmp_path / "sweep" / "report" / "report.md").read_text()
    assert "accuracy" not in page
    assert "%" not in page.replace("95 %", "")
    table = (tmp_path / "sweep" / "report" / "report.csv").read_text()
    assert "final_loss,best_loss" in table
    run = result.groups[0].runs[0]
    at_first = run.rows[0]["test/loss"]
    assert run.reached(at_first) == (run.rows[0]["step"], run.rows[0]["seconds"])
    assert run.reached(run.rows[2]["test/loss"])[0] == run.rows[2]["step"]  # it falls
    assert run.reached(run.rows[2]["test/loss"] / 2) is None
    status = subprocess.run(
        [sys.executable, "-m", "trainer.sweep", "status", "sweep"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"loss {run.final:.4g}" in status.stdout


def test_beside_classification_a_regression_is_named_and_not_compared(
    runs: Path, tmp_path: Path
) -> None:
    write_run(tmp_path / "classes", [0.5, 0.6])
    (tmp_path / "values").symlink_to(runs / "linear_regression")
    result = analyse([read_run(tmp_path / name, name) for name in ("classes", "values")])
    assert [group.finished != [] for group in result.groups] == [True, False]
    assert result.runs[1].notes == ["has no accuracy (loss=mse), by which runs are compared here"]


def test_killed_and_resumed_it_ends_equal(runs: Path, tmp_path: Path) -> None:
    run = ["experiment=linear_regression_plateau", "device=cpu", "resume=auto", "hydra.run.dir=run"]
    kill = SignalAt("history.py", "advance", 123, signal.SIGKILL)
    assert Trainer(run, tmp_path, prepare=kill).code() == -9
    train(run, tmp_path)
    assert_equal_runs(runs / "linear_regression_plateau", tmp_path / "run")


def test_a_validation_set_and_early_stopping_watch_the_loss(tmp_path: Path) -> None:
    more = ["data.val_size=100", "early_stopping.patience=3", "ema=0.5", "hydra.run.dir=run"]
    process = train(["experiment=linear_regression", "device=cpu", *more], tmp_path)
    assert "val/loss has not improved in 3 evaluations" in process.out
    assert "test set, best weights: loss 0.0" in process.out
    values = [row["val/loss"] for row in rows_of(tmp_path / "run")]
    assert min(values) == values[-4]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["test_best"].keys() == {"loss", "mae"}


def test_batches_are_the_rows_of_the_table_by_either_way() -> None:
    examples = load_data(RandomRegression(train_examples=50)).train
    loader = ValueLoader(examples, CPU, batch_size=20)
    table = Augmentation(padding=0, flip=False).table(0, 1, 50)
    for step in range(3):
        features, values = loader.batch(table, step)
        rows = table.order[step * 20 : (step + 1) * 20]
        assert torch.equal(features, examples.images[rows])
        assert torch.equal(values, examples.labels[rows])
        again, same = loader.batch_at(torch.tensor(step), len(rows))
        assert torch.equal(features, again)
        assert torch.equal(values, same)
        shares = [ValueLoader(examples, CPU, batch_size=20, share=(rank, 2)) for rank in (0, 1)]
        dealt = [share.batch(table, step)[1] for share in shares]
        assert torch.equal(torch.stack(dealt, 1).flatten(), values)


def test_loss_and_score_are_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, values = torch.randn(8, 1, generator=generator), torch.randn(8, generator=generator)
    objective = Regression()
    assert torch.equal(objective.loss(outputs, values), nn.MSELoss()(outputs[:, 0], values))
    assert torch.equal(objective.score(outputs, values), nn.L1Loss(reduction="sum")(outputs[:, 0], values))  # fmt: skip  # noqa: E501
    whole = nn.MSELoss(reduction="sum")(outputs[:, 0], values)
    assert torch.equal(objective.summed_loss(outputs, values), whole)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["loss=mse"], "loss=mse: data=synthetic has classes; set loss=cross_entropy"),
        (["data=random_regression"], "loss=cross_entropy: data=random_regression has values; set"),
        (["model=linear"], "model=linear: does not fit data=synthetic; it takes no images"),
        (["data=random_regression", "loss=mse"], "model=vgg: does not fit data=random_regression"),
        (["experiment=linear_regression", "mixup=1"], "mixup=1.0: is for images, not for data="),
        (["experiment=linear_regression", "data.loader=torchvision"], "these are no images"),
        (["experiment=linear_regression", "data.noise=-1"], "data.noise=-1.0: must be at least 0"),
        (
            ["experiment=linear_regression", "checkpoint.monitor=test/accuracy"],
            "test/loss, test/mae",
        ),
        (["loss=mae"], "loss=mae: must be one of cross_entropy, mse"),
        (
            ["experiment=linear_regression", "scheduler=plateau", "scheduler.mode=max"],
            "scheduler.monitor=auto: is not among the run's metrics",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(arguments: list[str], message: str) -> None:
    start = [] if "experiment=linear_regression" in arguments else ["data=synthetic"]
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        compose_run([*start, *arguments]).config.resolve_schedule()


def test_a_task_knows_its_metrics_and_their_direction() -> None:
    classes, values = TASKS["cross_entropy"], TASKS["mse"]
    assert classes.metrics("val")[0] == "val/accuracy"
    assert values.metrics("test")[0] == "test/loss"
    better = [t.higher_is_better(m) for t in (classes, values) for m in t.metrics("test")]
    assert better == [True, False, True, False, False, False, False, False]
    assert (classes.written(0.5), values.written(0.5)) == ("50.00 %", "0.5000")
