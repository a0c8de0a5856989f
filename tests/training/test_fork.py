"""A fork equals, bit for bit, the uninterrupted run of the composed schedule."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import TINY, train

from trainer.cli.signals import StopRequest
from trainer.config.fields import Config
from trainer.config.forked import forked, parse_fork
from trainer.config.overrides import compose_run, parse
from trainer.config.quoting import quoted
from trainer.schedules.options import OPTIONS
from trainer.storage import checkpoint, run_folder
from trainer.storage.comparison import digest, entries
from trainer.training.loop import train as loop
from trainer.training.preparation import prepare
from trainer.training.record import Record
from trainer.training.stopping import StopVote
from trainer.training.summary import evaluated_rows, is_best

# 6 steps an epoch; phases and the parent's schedule are written in another form
SMALL = [*TINY, "epochs=3", "scheduler.interval=step"]
WRITTEN = ("scheduler/definition", "fingerprint/scheduler")
PURE = sorted(set(OPTIONS) - {"plateau", "warmup", "onecycle", "cyclic", "formula"})


def config(*words: str) -> Config:
    return compose_run([quoted(word) for word in (*SMALL, *words)]).config


def finished(asked: Config, folder: Path, parent: Path | None = None) -> dict[str, Any]:
    """The state at the end of a run."""
    folder.mkdir(parents=True)
    found = None if parent is None else checkpoint.find(parent)
    run = prepare(asked, None, parent=found)
    record = Record(run, folder)
    record.start(changed=False)
    assert loop(run, record, StopVote(StopRequest(), run.peers, waits=True)) is None
    record.wait()
    record.finish()
    record.close()
    return run.state_dict()


def branch(parent: Path, *words: str) -> Config:
    overrides = [quoted(word) for word in (f"fork={parent}", *words)]
    found = checkpoint.find(parent)
    return forked(found, compose_run(overrides), parse(overrides)).config


def contents(state: Mapping[str, Any]) -> str:
    return digest({k: v for k, v in entries(state).items() if not k.startswith(WRITTEN)})


@pytest.mark.parametrize(
    ("name", "step"),  # within an epoch, and between two
    [*((name, 10) for name in [*PURE, "warmup_cosine"]), ("cosine", 6), ("wsd", 6)],
)
def test_every_pure_schedule_can_be_left(name: str, step: int, tmp_path: Path) -> None:
    parent = config(f"scheduler={name}", f"checkpoint.keep_at=['{step} steps']", "ema=0.9")
    finished(parent, tmp_path / "parent")
    path = run_folder.step_file(tmp_path / "parent", step)
    child = branch(path, "scheduler=linear", "scheduler.start_factor=0.5", "epochs=4")
    forked_state = finished(child, tmp_path / "child", path)
    whole = config("ema=0.9", "epochs=4")
    whole.scheduler = child.scheduler
    assert contents(forked_state) == contents(finished(whole, tmp_path / "whole"))
    lrs = forked_state["history"]["lrs"]
    assert torch.equal(
        lrs[:step],
        torch.tensor(
            [[parent.resolve_schedule().lr(k, 0.04)] for k in range(step)], dtype=torch.float64
        ),
    )
    left = 24 - step
    expected = [[0.04 * (0.5 - 0.5 * k / left)] for k in range(left)]
    assert lrs[step:].tolist() == [pytest.approx(lr, rel=1e-12) for lr in expected]


def test_a_fork_of_a_fork_with_groups_mixup_and_another_optimizer(tmp_path: Path) -> None:
    words = [
        "optimizer=adamw",
        "optimizer.lr=0.002",
        "mixup=0.3",
        "scheduler=warmup_cosine",
        "optimizer.groups=[{match: '^conv1', lr_scale: 0.5}]",
    ]
    finished(config(*words, "checkpoint.keep_at=['8 steps']"), tmp_path / "a")
    second = branch(
        run_folder.step_file(tmp_path / "a", 8),
        "scheduler=constant",
        "checkpoint.keep_at=['15 steps']",
    )
    finished(second, tmp_path / "b", run_folder.step_file(tmp_path / "a", 8))
    path = run_folder.step_file(tmp_path / "b", 15)
    third = branch(path, "scheduler=cosine", "scheduler.interval=epoch", "epochs=5")
    whole = config(*words, "epochs=5")
    whole.scheduler = third.scheduler
    found = finished(third, tmp_path / "c", path)
    assert contents(found) == contents(finished(whole, tmp_path / "whole"))
    assert found["lineage"]["step"] == 15


def test_what_was_evaluated_before_the_fork_is_history_and_no_rival(parents: Path) -> None:
    parent = parents / "parent"
    child = branch(parent, "scheduler=linear", "epochs=5")
    run = prepare(child, None, parent=checkpoint.find(parent))
    assert [row["epoch"] for row in run.history.rows] == [1, 2, 3]
    assert evaluated_rows(run) == []
    assert is_best(run, {**run.history.rows[0], "step": 24, "test/accuracy": 0.0})


def test_the_summary_names_the_parent_which_is_not_needed_any_more(tmp_path: Path) -> None:
    train([*SMALL, "hydra.run.dir=parent", "checkpoint.keep_every=1"], tmp_path)
    fork = ["fork=parent@1", "scheduler=linear", "hydra.run.dir=child", "resume=auto"]
    said = train([*fork, "until=2"], tmp_path).out
    assert "forked from" in said
    assert "the LR was" in said
    shutil.rmtree(tmp_path / "parent")
    assert "resumed from" in train(fork, tmp_path).out
    summary = run_folder.summary(tmp_path / "child")
    assert summary["lineage"]["step"] == 6
    assert summary["best"]["epoch"] > 1
    assert [row["epoch"] for row in run_folder.rows(tmp_path / "child")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["fork=parent@2.5", "scheduler=linear"], "step 15 is not kept; kept are 6, 12, 18"),
        (["fork=parent@1"], "fork=parent@1: needs the schedule to go on with: scheduler="),
        (["fork=parent@1", "scheduler=linear", "seed=3"], "seed=3: the parent was trained with"),
        (["fork=parent@1", "scheduler=linear", "model=vgg_bn"], "a fork keeps its parent's model,"),
        (["fork=parent@1", "scheduler=linear", "epochs=1"], "epochs=1: the fork begins at step 6"),
        (["fork=parent@1", "scheduler=plateau"], "plateau: cannot be a phase"),
        (["fork=parent@1", "resume=parent"], "fork: starts a new run and cannot stand beside"),
        (["fork=nowhere", "scheduler=linear"], "nowhere: there is no such run folder"),
        (["fork=plateau", "scheduler=linear"], "the parent's schedule, plateau, follows the"),
        (["fork=onecycle", "scheduler=linear"], "schedule, onecycle, cycles the momentum"),
    ],
)  # fmt: skip
def test_what_cannot_be_forked_is_refused_in_one_line(
    words: list[str], line: str, parents: Path
) -> None:
    process = train(
        [*words, "hydra.run.dir=refused"], parents, expect=2 if "nowhere" not in words[0] else 1
    )
    assert line in process.err
    assert process.err.count("error:") == 1
    assert not (parents / "refused").exists()


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parents")
    train([*SMALL, "hydra.run.dir=parent", "checkpoint.keep_every=1"], folder)
    for name in ("plateau", "onecycle"):
        train([*SMALL, f"scheduler={name}", f"hydra.run.dir={name}"], folder)
    return folder


def test_a_place_and_a_position() -> None:
    assert parse_fork("runs/a@10") == (Path("runs/a"), "10")
    assert parse_fork("a@3900steps") == (Path("a"), "3900steps")
    assert parse_fork("a@b/c.pt") == (Path("a@b/c.pt"), None)
    assert parse_fork("a@b/c@2.5") == (Path("a@b/c"), "2.5")
