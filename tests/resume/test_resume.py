"""A run that was stopped and resumed ends as one that was never touched."""

import json
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from comparison import assert_equal_runs, events, metrics, state
from processes import TINY, Trainer, train

from trainer.storage import checkpoint
from trainer.training.device import cpu_multiplies_bf16

BF16 = cpu_multiplies_bf16()
RECIPE = [*TINY, "scheduler.warmup=1.5", "seed=3"]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untouched")
    train([*RECIPE, "hydra.run.dir=run"], folder)
    return folder / "run"


def test_the_same_run_twice_is_equal_and_another_seed_is_not(
    untouched: Path, tmp_path: Path
) -> None:
    train([*RECIPE, "hydra.run.dir=again"], tmp_path)
    assert_equal_runs(untouched, tmp_path / "again")
    train([*TINY, "scheduler.warmup=1.5", "seed=4", "hydra.run.dir=other"], tmp_path)
    ours, other = state(untouched), state(tmp_path / "other")
    assert not torch.equal(ours["model/conv1.weight"], other["model/conv1.weight"])
    assert metrics(untouched) != metrics(tmp_path / "other")


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_resumed_at_an_epoch_boundary_equals_untouched(
    untouched: Path, tmp_path: Path, epoch: int
) -> None:
    process = Trainer([*RECIPE, "hydra.run.dir=run"], tmp_path)
    process.wait_for(f"epoch {epoch}/4")
    process.kill(signal.SIGKILL)
    assert process.code() == -signal.SIGKILL
    resumed = train([f"resume={tmp_path / 'run'}"], tmp_path)
    assert "resumed from" in resumed.out
    assert_equal_runs(untouched, tmp_path / "run")


def test_stopped_by_sigterm_commits_leaves_with_143_and_resumes_exactly(
    untouched: Path, tmp_path: Path
) -> None:
    process = Trainer([*RECIPE, "hydra.run.dir=run"], tmp_path)
    process.wait_for("epoch 1/4")
    process.kill(signal.SIGTERM)
    assert process.code() == 143
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "stopped"
    train([f"resume={tmp_path / 'run'}"], tmp_path)
    assert_equal_runs(untouched, tmp_path / "run")


def test_stopped_by_ctrl_c_in_the_middle_of_an_epoch_resumes_exactly(
    untouched: Path, tmp_path: Path
) -> None:
    # Killed right after a checkpoint inside the second epoch, which every_steps makes.
    process = Trainer([*RECIPE, "checkpoint.every_steps=1", "hydra.run.dir=run"], tmp_path)
    while not (tmp_path / "run" / "checkpoints" / "step_00000008.pt").exists():
        assert process.process.is_alive(), process.err
    process.kill(signal.SIGINT)
    assert process.code() == 130
    partial = checkpoint.find(tmp_path / "run").state
    assert partial["progress"]["step"] >= 8
    train([f"resume={tmp_path / 'run'}", "checkpoint.every_steps=null"], tmp_path)
    assert_equal_runs(untouched, tmp_path / "run")


def test_the_same_command_with_resume_auto_starts_and_continues(
    untouched: Path, tmp_path: Path
) -> None:
    command = [*RECIPE, "hydra.run.dir=run", "resume=auto"]
    process = Trainer(command, tmp_path)
    process.wait_for("epoch 2/4")
    process.kill(signal.SIGKILL)
    process.code()
    assert "resumed from" in train(command, tmp_path).out
    assert_equal_runs(untouched, tmp_path / "run")
    assert "nothing to do" in train(command, tmp_path).out


def test_a_plateau_keeps_its_counters_over_a_resume(tmp_path: Path) -> None:
    recipe = [
        *TINY, "scheduler=warmup_plateau", "scheduler.warmup=1", "scheduler.after.patience=0",
        "scheduler.after.threshold=0.5", "scheduler.after.factor=0.5", "optimizer=adam",
        "optimizer.groups=[{match: '^fc(1|2)', lr_scale: 0.1}]",
    ]  # fmt: skip
    train([*recipe, "hydra.run.dir=whole"], tmp_path)
    process = Trainer([*recipe, "hydra.run.dir=cut"], tmp_path)
    process.wait_for("epoch 3/4")
    process.kill(signal.SIGKILL)
    process.code()
    train(["resume=cut"], tmp_path)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")
    reductions = state(tmp_path / "whole")
    assert any(key.startswith("scheduler/plateau/reductions") for key in reductions)
    table = (tmp_path / "cut" / "lr.csv").read_text().splitlines()
    assert table[0] == "step,lr_^fc_1|2_,lr_rest"
    fc, rest = map(float, table[-1].split(",")[1:])
    assert fc == pytest.approx(rest / 10)
    assert rest < 1e-3
    assert {"lr/^fc_1|2_", "lr/rest"} <= {tag for tag, _, _ in events(tmp_path / "cut")}


def test_both_loaders_and_any_number_of_workers_train_the_same_weights(
    untouched: Path, tmp_path: Path
) -> None:
    process = Trainer([*RECIPE, "hydra.run.dir=run"], tmp_path)
    process.wait_for("epoch 2/4")
    process.kill(signal.SIGKILL)
    process.code()
    train(["resume=run", "data.loader=torchvision", "data.workers=1"], tmp_path)
    assert_equal_runs(untouched, tmp_path / "run")


def test_tensorboard_shows_one_curve_of_lr_loss_and_accuracy(untouched: Path) -> None:
    points = events(untouched)
    for tag in ("train/loss", "train/accuracy", "test/loss", "test/accuracy"):
        assert [step for name, step, _ in points if name == tag] == [6, 12, 18, 24]
    lrs = {step: value for name, step, value in points if name == "lr"}
    recorded = (untouched / "lr.csv").read_text().splitlines()[1:]
    ledger = [float(line.split(",")[1]) for line in recorded]
    assert len(ledger) == 24
    assert lrs == {s: pytest.approx(ledger[s - 1], rel=1e-7) for s in lrs}
    assert {1, 2, 6, 24} <= lrs.keys()


def test_a_longer_run_asks_what_the_schedule_should_do(untouched: Path, tmp_path: Path) -> None:
    process = Trainer([*RECIPE, "hydra.run.dir=run"], tmp_path)
    process.wait_for("epoch 2/4")
    process.kill(signal.SIGKILL)
    process.code()
    refused = train(["resume=run", "epochs=6"], tmp_path, expect=2)
    for choice in ("hold", "continue", "stretch", "restart", "tail"):
        assert choice in refused.err
    assert refused.err.count("\n") == 1
    before = checkpoint.find(tmp_path / "run").path
    assert before.name == "step_00000012.pt"
    grown = train(["resume=run", "epochs=6", "on_horizon_change=hold"], tmp_path)
    assert "epoch 6/6" in grown.out
    lines = (tmp_path / "run" / "lr.csv").read_text().splitlines()[1:]
    assert len(lines) == 36
    assert lines[:24] == (untouched / "lr.csv").read_text().splitlines()[1:]
    assert {line.split(",")[1] for line in lines[23:]} == {lines[23].split(",")[1]}


def test_a_tail_behind_a_finished_cosine_is_refused_before_any_work(
    untouched: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(untouched, tmp_path / "run")
    before = {f: f.read_bytes() for f in run.rglob("*") if f.is_file() and f.name != ".lock"}
    longer = ["resume=run", "epochs=6"]
    refused = train([*longer, "on_horizon_change=tail"], tmp_path, expect=2)
    assert refused.err.startswith("trainer: error: on_horizon_change=tail: ")
    assert refused.err.count("\n") == 1
    assert "epoch 5" not in refused.out
    changed = {f for f, content in before.items() if f.read_bytes() != content}
    assert changed <= {run / "trainer.log"}  # it says why
    named = re.findall(r"(\w+): [^;]* \(LR up to", refused.err)
    assert "stretch" in named
    train([*longer, "on_horizon_change=stretch"], tmp_path)
    lrs = [float(line.split(",")[1]) for line in (run / "lr.csv").read_text().splitlines()[1:]]
    assert len(lrs) == 36
    assert min(lrs[24:]) > 0


def test_a_changed_setting_is_refused_with_key_and_both_values(
    untouched: Path, tmp_path: Path
) -> None:
    for override, key in (
        ("optimizer.lr=0.2", "optimizer.lr=0.04"),
        ("seed=9", "seed=3"),
        ("batch_size=40", "batch_size=20"),
        ("scheduler.warmup=2", "scheduler.warmup=1.5"),
        ("data.seed=1", "data.seed=0"),
        ("accumulate=4", "accumulate=1"),
        ("amp=none" if BF16 else "amp=bf16", "precision=bf16" if BF16 else "precision=none"),
        ("optimizer.weight_decay=0", "optimizer.weight_decay=0.0005"),
        ("data.val_size=20", "data.val_size=0"),
        ("label_smoothing=0.1", "label_smoothing=0.0"),
    ):
        refused = train([f"resume={untouched}", override], tmp_path, expect=2)
        assert override in refused.err or key.startswith("precision")
        assert key in refused.err
        assert "init=" in refused.err
        assert refused.err.count("\n") == 1


def test_a_second_process_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = Trainer([*RECIPE, "epochs=200", "hydra.run.dir=run"], tmp_path)
    first.wait_for("epoch   1/200")
    second = train(["resume=run"], tmp_path, expect=1)
    assert f"is in use by process {first.process.pid} on" in second.err
    first.kill(signal.SIGKILL)
    first.code()
    stopped = Trainer(["resume=run"], tmp_path)
    stopped.wait_for("resumed from")
    stopped.kill(signal.SIGTERM)
    assert stopped.code() == 143


def test_init_starts_a_new_run_from_the_weights(untouched: Path, tmp_path: Path) -> None:
    new = [*TINY, "optimizer=adam", "epochs=1", f"init={untouched}", "hydra.run.dir=new"]
    train(new, tmp_path)
    assert checkpoint.find(tmp_path / "new").state["progress"]["step"] == 6
    train([*new[:-1], "seed=77", "hydra.run.dir=new2", "optimizer.lr=1e-9"], tmp_path)
    start = checkpoint.find(untouched).state["model"]["conv1.weight"]
    assert start.allclose(checkpoint.find(tmp_path / "new2").state["model"]["conv1.weight"])


def test_a_run_from_other_weights_resumes_after_their_file_has_gone(tmp_path: Path) -> None:
    train([*TINY, "epochs=1", "hydra.run.dir=source"], tmp_path)
    fine_tune = [*TINY, "init=source", "hydra.run.dir=run", "resume=auto"]
    process = Trainer(fine_tune, tmp_path)
    process.wait_for("epoch 2/4")
    process.kill(signal.SIGKILL)
    process.code()
    (tmp_path / "source").rename(tmp_path / "gone")
    assert "epoch 4/4" in train(["resume=run"], tmp_path).out


def test_events_keep_their_order_over_a_resume(untouched: Path, tmp_path: Path) -> None:
    every = [*RECIPE, "checkpoint.every_steps=2", "hydra.run.dir=run"]
    process = Trainer(every, tmp_path)
    process.wait_for("epoch 3/4")
    process.kill(signal.SIGKILL)
    process.code()
    train(["resume=run", "checkpoint.every_steps=null"], tmp_path)
    assert_equal_runs(untouched, tmp_path / "run")
