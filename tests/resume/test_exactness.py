"""Killed and resumed equals untouched, whatever is trained: precisions, loaders, optimizers, ..."""

import itertools
import os
import signal
from pathlib import Path

import pytest
import torch
from comparison import assert_equal_runs
from faults import Fault, SignalAt
from processes import TINY, Trainer, train

from trainer.storage import checkpoint
from trainer.training.build import build_run

EVERY = os.environ.get("TRAINER_ALL_PROOFS") == "1"
AMPS = ("none", "bf16")
LOADERS = (("device", 0), ("torchvision", 0), ("torchvision", 1), ("torchvision", 2))
OPTIMIZERS = ("sgd", "sgd optimizer.nesterov=true", "adam", "adamw")
SCHEDULES = ("warmup_cosine", "warmup_plateau scheduler.after.patience=0 scheduler.after.factor=.5")
EXTRAS = (
    "",
    "model=vgg_bn data.cutout=8 mixup=1 ema=0.9",
    "label_smoothing=0.1 clip_norm=0.05 ema=0.99 test_time_flip=true early_stopping.patience=9",
)
PRODUCT = list(itertools.product(AMPS, LOADERS, (1, 2, 4), OPTIMIZERS, SCHEDULES, EXTRAS))
SLOWLY = pytest.mark.slow
# Almost every value of each key at least once, and the likely troublemakers together.
CHOSEN = [
    ("bf16", ("device", 0), 4, "adamw", SCHEDULES[1], EXTRAS[1]),
    ("bf16", ("torchvision", 1), 1, "sgd optimizer.nesterov=true", SCHEDULES[1], EXTRAS[2]),
    pytest.param("none", ("torchvision", 2), 2, "adam", SCHEDULES[0], EXTRAS[0], marks=SLOWLY),
]


@pytest.mark.parametrize(
    ("amp", "loader", "accumulate", "optimizer", "schedule", "extras"), PRODUCT if EVERY else CHOSEN
)
def test_killed_inside_an_epoch_it_ends_equal(
    amp: str,
    loader: tuple[str, int],
    accumulate: int,
    optimizer: str,
    schedule: str,
    extras: str,
    tmp_path: Path,
) -> None:
    run = [
        *TINY, "epochs=3", f"amp={amp}", f"accumulate={accumulate}", "checkpoint.every_steps=4",
        f"data.loader={loader[0]}", f"data.workers={loader[1]}", "scheduler.warmup=1",
        *f"optimizer={optimizer}".split(), *f"scheduler={schedule}".split(), "resume=auto",
        *extras.split(),
    ]  # fmt: skip
    train([*run, "hydra.run.dir=whole"], tmp_path)
    for k, number in ((5, signal.SIGKILL), (4, signal.SIGTERM), (5, signal.SIGKILL)):
        process = Trainer(
            [*run, "hydra.run.dir=cut"],
            tmp_path,
            prepare=SignalAt("history.py", "advance", k, number),
        )
        assert process.code() in (-9, 143), process.err
    train([*run, "hydra.run.dir=cut"], tmp_path)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_how_often_a_run_commits_changes_nothing(tmp_path: Path) -> None:
    for name, every in (("epochs", []), ("steps", ["checkpoint.every_steps=1"]),
                        ("rarely", ["checkpoint.every_epochs=4"])):  # fmt: skip
        train([*TINY, *every, f"hydra.run.dir={name}"], tmp_path)
    for other in ("steps", "rarely"):
        assert_equal_runs(tmp_path / "epochs", tmp_path / other)


@pytest.mark.slow
def test_two_kills_without_progress_between_them_cost_nothing(tmp_path: Path) -> None:
    run = [*TINY, "resume=auto"]
    train([*run, "hydra.run.dir=whole"], tmp_path)
    places = [("history.py", "advance", 9), ("checkpoint.py", "load", 1), ("logs.py", "rebuild", 1),
              ("history.py", "advance", 1), ("run.py", "load_state_dict", 1)]  # fmt: skip
    for place in places:
        process = Trainer(
            [*run, "hydra.run.dir=cut"], tmp_path, prepare=SignalAt(*place, signal.SIGKILL)
        )
        assert process.code() == -signal.SIGKILL, process.err
    train([*run, "hydra.run.dir=cut"], tmp_path)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.skipif(not os.environ.get("TRAINER_FAULTS"), reason="needs Linux and a C compiler")
def test_a_clock_that_jumps_and_another_host_change_nothing(tmp_path: Path) -> None:
    run = [*TINY, "resume=auto"]
    train([*run, "hydra.run.dir=whole"], tmp_path)
    kill = SignalAt("history.py", "advance", 9, signal.SIGKILL)
    assert Trainer([*run, "hydra.run.dir=cut"], tmp_path, prepare=kill).code() == -9
    (tmp_path / "cut" / ".lock").write_text("process 1 on another-machine\n")  # and it is gone
    year_ago = Fault(tmp_path / "nothing", 0, 0, tmp_path / "journal", skew=-366 * 86400)
    train([*run, "hydra.run.dir=cut"], tmp_path, prepare=year_ago)
    log = (tmp_path / "cut" / "trainer.log").read_text().splitlines()
    assert log[0][:4] > log[-1][:4]  # the clock did jump
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    train([*TINY, "hydra.run.dir=run"], tmp_path)

    def content() -> dict[Path, bytes]:
        return {
            file: file.read_bytes()
            for file in (tmp_path / "run").rglob("*")
            if file.is_file() and file.name not in ("trainer.log", ".lock")
        }

    before = content()
    assert "nothing to do" in train(["resume=run"], tmp_path).out
    assert content() == before


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("model", "optimizer", "progress")]
SAVED = ["ema", "scheduler", "rng", "partial", "history", *SLOW]


FALLING = [*TINY, "scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=0.9",
           "optimizer.lr=0.01", "ema=0.9", "resume=auto"]  # fmt: skip


@pytest.fixture(scope="module")
def falling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("falling")
    train([*FALLING, "hydra.run.dir=whole"], folder)
    return folder / "whole"


@pytest.mark.parametrize("lost", SAVED)
def test_a_resume_that_forgot_one_thing_would_be_noticed(
    lost: str, falling: Path, tmp_path: Path
) -> None:
    """Teeth: the comparison that all of these tests rest on sees each item of the checkpoint."""
    run = FALLING
    stop = SignalAt("history.py", "advance", 15, signal.SIGTERM)
    assert Trainer([*run, "hydra.run.dir=cut"], tmp_path, prepare=stop).code() == 143
    commit = checkpoint.find(tmp_path / "cut")
    fresh = {key: value for key, value in _fresh_state(commit).items() if key == lost}
    checkpoint.save(tmp_path / "cut", commit.state | fresh, 15, keep_last=2, best=False)
    process = Trainer([*run, "hydra.run.dir=cut"], tmp_path)
    if process.code() == 0:
        with pytest.raises(AssertionError):
            assert_equal_runs(falling, tmp_path / "cut")
    else:  # what was lost does not fit the rest
        assert process.err.splitlines()[-1].startswith("trainer: error: "), process.err


def _fresh_state(commit: checkpoint.Checkpoint) -> dict[str, object]:
    """What a run would hold that has not taken over anything."""
    from trainer.config.saved import to_object, typed

    torch.manual_seed(1)
    run = build_run(to_object(typed(commit.state["config"])))
    run.load_weights(commit.state["model"], commit)
    state = run.state_dict()
    again = build_run(run.config)
    state["model"], state["ema"] = again.model.state_dict(), again.evaluated.state_dict()
    state["rng"] = state["rng"] | {"torch": torch.Generator().manual_seed(77).get_state()}
    state["partial"] = run.sums.total()
    return state
