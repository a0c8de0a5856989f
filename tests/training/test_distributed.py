"""Several processes train one run: the same numbers, the same promises."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from comparison import assert_equal_runs
from processes import train
from teams import start_team, team

from trainer.cli.launch import Launch
from trainer.storage import run_folder
from trainer.storage.comparison import compare_runs

# 24 images are dealt out to 1, 2, 3 and 4 processes alike.
RUN = [
    "data=synthetic", "device=cpu", "data.train_images=120", "data.test_images=40",
    "batch_size=24", "epochs=3", "log.every_steps=2", "amp=none", "optimizer.lr=0.1",
]  # fmt: skip


SLOW = pytest.mark.slow  # what differs from a quick case in numbers alone


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def in_folder(name: str) -> list[str]:
    return [f"hydra.run.dir={name}", "resume=auto"]


def assert_close_runs(one: Path, other: Path) -> None:
    for mine, theirs in zip(rows(one), rows(other), strict=True):
        for name in ("train/loss", "test/loss"):
            assert theirs[name] == pytest.approx(mine[name], rel=1e-5), name
        for name in ("epoch", "step", "lr", "train/accuracy", "test/accuracy"):
            assert theirs[name] == pytest.approx(mine[name], abs=0.01), name
    assert (one / "lr.csv").read_bytes() == (other / "lr.csv").read_bytes()


@pytest.mark.parametrize(
    ("processes", "settings"),
    [
        pytest.param(2, ["accumulate=2", "clip_norm=1.0"], marks=SLOW),
        (3, ["data.loader=torchvision", "data.train_images=130", "data.val_size=10"]),
        (
            2,
            [
                "accumulate=2",
                "clip_norm=1.0",
                "mixup=0.4",
                "ema=0.8",
                "data.cutout=8",
                "label_smoothing=0.1",
                "early_stopping.patience=9",
            ],
        ),
    ],
)
def test_several_processes_train_as_one_does(
    tmp_path: Path, processes: int, settings: list[str]
) -> None:
    train([*RUN, *settings, *in_folder("one")], tmp_path)
    said = team([*RUN, *settings, *in_folder("several")], tmp_path, processes)
    assert f"{processes} processes, {24 // processes} images of each batch in one" in said
    assert said.count("epoch 3/3") == 1  # one process speaks
    if "data.val_size=10" in settings:
        assert "test set, best weights" in said
        for folder in ("one", "several"):
            path = tmp_path / folder / "metrics.jsonl"
            path.write_text(path.read_text().replace("val/", "test/"))
    assert_close_runs(tmp_path / "one", tmp_path / "several")


@pytest.mark.parametrize("processes", [pytest.param(2, marks=SLOW), 3, pytest.param(4, marks=SLOW)])
def test_a_resumed_run_of_several_processes_equals_one_never_touched(
    tmp_path: Path, processes: int
) -> None:
    team([*RUN, *in_folder("through")], tmp_path, processes)
    # in the middle of an epoch by a signal to one of them, which all obey at one step
    started = start_team([*RUN, *in_folder("stopped")], tmp_path, processes)
    started[0].wait_for("epoch 1/3")
    started[-1].kill(signal.SIGTERM)
    assert [process.code() for process in started] == [143] * processes
    assert compare_runs(tmp_path / "through", tmp_path / "stopped") is not None
    assert len(run_folder.checkpoints(tmp_path / "stopped")) == 2
    team([*RUN, *in_folder("stopped")], tmp_path, processes)
    assert_equal_runs(tmp_path / "through", tmp_path / "stopped")


@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=SLOW)])
def test_a_killed_process_ends_the_others_and_the_run_goes_on_exactly(
    tmp_path: Path, victim: int
) -> None:
    settings = [*RUN, "checkpoint.every_steps=2"]
    team([*settings, *in_folder("through")], tmp_path, 2)
    started = start_team([*settings, *in_folder("killed")], tmp_path, 2)
    started[0].wait_for("epoch 2/3")
    began = time.monotonic()
    started[victim].kill(signal.SIGKILL)
    assert started[victim].code() == -signal.SIGKILL
    assert started[1 - victim].code() == 1
    assert time.monotonic() - began < 60
    assert "another process of the run has ended" in started[1 - victim].err
    assert "Traceback" not in started[1 - victim].err
    team([*settings, *in_folder("killed")], tmp_path, 2)
    assert_equal_runs(tmp_path / "through", tmp_path / "killed")


def test_another_number_of_processes_is_refused_and_goes_on_when_asked_to(tmp_path: Path) -> None:
    first = [*RUN, "epochs=2", "scheduler=constant"]
    team([*first, *in_folder("run")], tmp_path, 2)
    more = ["resume=run", "epochs=3"]
    refused = team(more, tmp_path, 3, expect=2)
    assert refused.count("error:") == 1
    assert "processes: the run was trained by 2" in refused
    assert "on_process_change=continue goes on with 3" in refused
    assert len(rows(tmp_path / "run")) == 2
    said = team([*more, "on_process_change=continue"], tmp_path, 3)
    assert "trained by 2 processes" in said
    assert len(rows(tmp_path / "run")) == 3
    train([*first, "epochs=3", *in_folder("whole")], tmp_path)
    assert_close_runs(tmp_path / "whole", tmp_path / "run")


def test_a_loss_that_is_not_finite_ends_all_processes_with_one_line(tmp_path: Path) -> None:
    said = team(
        [*RUN, "optimizer.lr=1e10", "scheduler=constant", *in_folder("run")], tmp_path, 2, expect=1
    )
    assert said.count("error:") == 1
    assert "the loss is" in said or "not finite" in said
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "failed"


def test_the_others_need_neither_arguments_nor_the_folder(tmp_path: Path) -> None:
    """What the first process shares is enough: the others run in a folder of their own."""
    (tmp_path / "elsewhere").mkdir()
    first, other = start_team([*RUN, *in_folder("run")], tmp_path, 2, others=tmp_path / "elsewhere")
    assert [first.code(), other.code()] == [0, 0], first.err + other.err
    left = [path.name for path in (tmp_path / "elsewhere").iterdir()]
    assert all(name.startswith(".process_") for name in left)  # what it printed
    first, other = start_team(
        ["resume=run", "epochs=4", "on_horizon_change=stretch"], tmp_path, 2,
        others=tmp_path / "elsewhere",
    )  # fmt: skip
    assert [first.code(), other.code()] == [0, 0], first.err + other.err
    assert len(rows(tmp_path / "run")) == 4


def test_help_and_a_mistake_end_all_processes_alike(tmp_path: Path) -> None:
    assert team(["--help"], tmp_path, 2).count("Trains a network on CIFAR-10") == 1
    assert team(["nonsense"], tmp_path, 2, expect=2).count("error:") == 1


@SLOW
def test_each_job_of_a_sweep_is_trained_by_all_its_processes(tmp_path: Path) -> None:
    sweep = ["-m", "scheduler=steplr,constant", "hydra.sweep.dir=sweep"]
    two = "hydra.launcher.processes_per_job=2"
    assert "2 of 2 jobs done" in train([*RUN, *sweep, two], tmp_path).out
    team([*RUN, "scheduler=constant", *in_folder("alone")], tmp_path, 2)
    assert_equal_runs(tmp_path / "alone", tmp_path / "sweep" / "1")
    refused = team([*RUN, *sweep], tmp_path, 2, expect=2)
    assert "leave out torchrun, hydra.launcher.processes_per_job=N" in refused


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["batch_size=25"], "batch_size=25: cannot be dealt out evenly to 2 processes"),
        (["accumulate=8"], "it must be a multiple of 16"),
        (["data.drop_last=false", "data.train_images=125"], "the last batch of an epoch has 5"),
        (["device=cuda:0"], "device=cuda:0: 2 processes take a GPU each"),
        (["engine=graph"], "engine=graph: needs a CUDA device"),
        (["epochs=0"], "epochs=0: must be at least 1"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused_in_one_line(
    tmp_path: Path, settings: list[str], line: str
) -> None:
    said = team([*RUN, *settings, *in_folder("run")], tmp_path, 2, expect=2)
    assert line in said
    assert said.count("error:") == 1
    assert not (tmp_path / "run").exists()


def test_a_regression_is_dealt_out_too(tmp_path: Path) -> None:
    settings = ["experiment=linear_regression", "device=cpu", "epochs=4"]
    train([*settings, *in_folder("one")], tmp_path)
    team([*settings, *in_folder("several")], tmp_path, 2)
    for one, several in zip(rows(tmp_path / "one"), rows(tmp_path / "several"), strict=True):
        for name in ("train/loss", "test/loss", "train/mae", "test/mae"):
            assert several[name] == pytest.approx(one[name], rel=1e-5), name


@SLOW
def test_batch_norm_on_cpus_says_that_it_is_not_the_same(tmp_path: Path) -> None:
    said = team([*RUN, "model=vgg_bn", *in_folder("through")], tmp_path, 2)
    assert "batch norm sees its own images only" in said
    started = start_team([*RUN, "model=vgg_bn", *in_folder("stopped")], tmp_path, 2)
    started[0].wait_for("epoch 1/3")
    started[1].kill(signal.SIGTERM)
    assert [process.code() for process in started] == [143, 143]
    team([*RUN, "model=vgg_bn", *in_folder("stopped")], tmp_path, 2)
    assert_equal_runs(tmp_path / "through", tmp_path / "stopped")


def test_only_a_launcher_makes_a_team() -> None:
    assert Launch.from_environment({}) == Launch()
    assert Launch.from_environment({"WORLD_SIZE": "4", "RANK": "1"}) == Launch()
    said = {"RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    launch = Launch.from_environment({**said, "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"})
    assert launch == Launch(3, 4, 1, 2)
    assert "RANK" not in os.environ
