"""What a resume asks, refuses and takes over."""

import re
import shutil
import signal
from pathlib import Path

import pytest
from comparison import assert_equal_runs, events
from faults import SignalAt
from processes import TINY, Trainer, answer, train
from standard_runs import StandardRuns, contents

from trainer.storage import checkpoint
from trainer.training.device import cpu_multiplies_bf16

BF16 = cpu_multiplies_bf16()


def lrs_of(run: Path) -> list[float]:
    return [float(line.split(",")[1]) for line in (run / "lr.csv").read_text().splitlines()[1:]]


def test_tensorboard_shows_one_curve_of_lr_loss_and_accuracy(standard: StandardRuns) -> None:
    points = events(standard.of())
    for tag in ("train/loss", "train/accuracy", "test/loss", "test/accuracy"):
        assert [step for name, step, _ in points if name == tag] == [6, 12, 18, 24]
    lrs = {step: value for name, step, value in points if name == "lr"}
    recorded = lrs_of(standard.of())
    assert len(recorded) == 24
    assert lrs == {s: pytest.approx(recorded[s - 1], rel=1e-7) for s in lrs}
    assert {1, 2, 6, 24} <= lrs.keys()


def test_a_longer_run_asks_what_the_schedule_should_do(
    standard: StandardRuns, tmp_path: Path
) -> None:
    run = standard.copy(tmp_path / "run")
    refused = answer(["resume=run", "epochs=6"], tmp_path, expect=2)
    for choice in ("hold", "continue", "stretch", "restart", "tail"):
        assert choice in refused.err
    assert refused.err.count("\n") == 1
    grown = answer(["resume=run", "epochs=6", "on_horizon_change=hold"], tmp_path)
    assert "epoch 6/6" in grown.out
    lrs = lrs_of(run)
    assert len(lrs) == 36
    assert lrs[:24] == lrs_of(standard.of())
    assert set(lrs[23:]) == {lrs[23]}


def test_a_tail_behind_a_finished_cosine_is_refused_before_any_work(
    standard: StandardRuns, tmp_path: Path
) -> None:
    run = standard.copy(tmp_path / "run")
    before, longer = contents(run), ["resume=run", "epochs=6"]
    refused = answer([*longer, "on_horizon_change=tail"], tmp_path, expect=2)
    assert refused.err.startswith("trainer: error: on_horizon_change=tail: ")
    assert refused.err.count("\n") == 1
    assert "epoch 5" not in refused.out
    after = contents(run)
    changed = {file for file, content in before.items() if after[file] != content}
    assert changed <= {run / "trainer.log"}  # it says why
    assert "stretch" in re.findall(r"(\w+): [^;]* \(LR up to", refused.err)
    answer([*longer, "on_horizon_change=stretch"], tmp_path)
    assert len(lrs_of(run)) == 36
    assert min(lrs_of(run)[24:]) > 0


@pytest.mark.parametrize(
    ("override", "was"),
    [
        ("optimizer.lr=0.2", "optimizer.lr=0.04"),
        ("seed=9", "seed=0"),
        ("batch_size=40", "batch_size=20"),
        ("scheduler.warmup=2", "scheduler.warmup=10%"),
        ("data.seed=1", "data.seed=0"),
        ("accumulate=4", "accumulate=1"),
        ("amp=none" if BF16 else "amp=bf16", "precision=bf16" if BF16 else "precision=none"),
        ("optimizer.weight_decay=0", "optimizer.weight_decay=0.0005"),
        ("data.val_size=20", "data.val_size=0"),
        ("label_smoothing=0.1", "label_smoothing=0.0"),
    ],
)
def test_a_changed_setting_is_refused_with_key_and_both_values(
    override: str, was: str, standard: StandardRuns, tmp_path: Path
) -> None:
    refused = answer([f"resume={standard.of()}", override], tmp_path, expect=2)
    assert override in refused.err or was.startswith("precision")
    assert was in refused.err
    assert "init=" in refused.err
    assert refused.err.count("\n") == 1


def test_a_second_process_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = Trainer([*TINY, "epochs=200", "hydra.run.dir=run"], tmp_path)
    first.wait_for("epoch   1/200")
    second = train(["resume=run"], tmp_path, expect=1)
    assert f"is in use by process {first.process.pid} on" in second.err
    first.kill(signal.SIGKILL)
    first.code()
    stop = SignalAt("history.py", "advance", 3, signal.SIGTERM)
    assert "resumed from" in train(["resume=run"], tmp_path, prepare=stop, expect=143).out


def test_init_starts_a_new_run_from_the_weights(standard: StandardRuns, tmp_path: Path) -> None:
    new = [*TINY, "epochs=1", f"init={standard.of()}"]
    train([*new, "optimizer=adam", "hydra.run.dir=new"], tmp_path)
    assert checkpoint.find(tmp_path / "new").state["progress"]["step"] == 6
    train([*new, "seed=77", "optimizer.lr=1e-9", "hydra.run.dir=still"], tmp_path)
    start = checkpoint.find(standard.of()).state["model"]["conv1.weight"]
    assert start.allclose(checkpoint.find(tmp_path / "still").state["model"]["conv1.weight"])


def test_a_run_from_other_weights_goes_on_after_their_file_has_gone(
    standard: StandardRuns, tmp_path: Path
) -> None:
    """It keeps its absolute path; `resume=` and the same command go on alike."""
    standard.copy(tmp_path / "source")
    tuned = [*TINY, "init=source", "resume=auto"]
    kill = SignalAt("history.py", "advance", 8, signal.SIGKILL)
    assert Trainer([*tuned, "hydra.run.dir=run"], tmp_path, prepare=kill).code() == -signal.SIGKILL
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    train([*tuned, "hydra.run.dir=other"], tmp_path)
    assert checkpoint.find(tmp_path / "other").state["config"]["init"] == str(tmp_path / "source")
    (tmp_path / "source").rename(tmp_path / "gone")
    assert "epoch 4/4" in answer(["resume=run"], tmp_path).out
    assert_equal_runs(tmp_path / "other", tmp_path / "run")


def test_another_length_outlives_a_kill(standard: StandardRuns, tmp_path: Path) -> None:
    standard.copy(tmp_path / "run")
    longer = ["resume=run", "epochs=6", "on_horizon_change=stretch"]
    kill = SignalAt("history.py", "advance", 2, signal.SIGKILL)
    assert Trainer(longer, tmp_path, prepare=kill).code() == -signal.SIGKILL
    assert "epoch 6/6" in answer(["resume=run"], tmp_path).out
