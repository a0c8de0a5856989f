"""The loop: what it notes within an epoch, and where `until` stops it."""

import json
import re
from pathlib import Path

import pytest
import torch
from processes import TINY, train

from trainer.cli.signals import StopRequest
from trainer.config.overrides import compose_run
from trainer.storage import checkpoint, run_folder
from trainer.storage.comparison import compare_runs
from trainer.training.build import build_run
from trainer.training.loop import train as loop
from trainer.training.record import Record
from trainer.training.run import Run
from trainer.training.stopping import StopVote

# 7 steps an epoch, a reading every 3: points at 3, 6 and the end
SMALL = [*TINY, "batch_size=17", "log.every_steps=3", "epochs=2"]


def points(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / run_folder.STEPS).read_text().splitlines()]


class Noting:
    """An engine that also keeps the loss of each step.

    Args:
        run: Whose engine it wraps.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.inner, self.losses = run, run.engine, list[float]()

    def begin(self, table: object) -> None:
        self.inner.begin(table)  # pyright: ignore[reportArgumentType]

    def train_on(self, step: int) -> None:
        self.inner.train_on(step)
        self.losses.append(float(self.run.sums.losses[step]))


def test_points_are_the_means_of_the_losses_since_the_last_one(tmp_path: Path) -> None:
    run = build_run(compose_run(SMALL).config)
    engine = Noting(run)
    run.engine = engine
    record = Record(run, tmp_path)
    record.start(changed=False)
    assert loop(run, record, StopVote(StopRequest(), run.peers, waits=True)) is None
    record.finish()
    record.close()
    found = points(tmp_path)
    assert [point["step"] for point in found] == [3, 6, 7, 10, 13, 14]
    for point, first in zip(found, [0, 3, 6, 7, 10, 13], strict=True):
        last = int(point["step"])
        mean = torch.tensor(engine.losses[first:last], dtype=torch.float64).mean()
        assert point["train/loss"] == float(mean)
        assert point["lr"] == run.scheduler.lrs(last - 1)[0]
        assert point["images_per_second"] > 0
        assert point.keys() == {"step", "lr", "train/loss", "images_per_second"}


def test_a_run_that_is_paused_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    untouched = tmp_path / "untouched"
    train([*SMALL, "hydra.run.dir=untouched"], tmp_path)
    paused = train([*SMALL, "hydra.run.dir=run", "until=1"], tmp_path)
    folder = tmp_path / "run"
    assert "paused after step 7 (until=1)" in paused.out
    assert run_folder.summary(folder)["status"] == "paused"
    assert "test/accuracy" in run_folder.rows(folder)[0]  # it stops behind the evaluation
    again = train(["resume=run", "until=1"], tmp_path)
    assert re.search(r"is at step 7, until=1: nothing to do", again.out)
    train(["resume=run", "until=11 steps"], tmp_path)
    assert checkpoint.find(folder).state["progress"]["step"] == 11
    train(["resume=run"], tmp_path)
    assert compare_runs(untouched, folder) is None
    for ours, theirs in zip(points(untouched), points(folder), strict=True):
        for clocked in (ours, theirs):
            del clocked["images_per_second"]
        assert ours == theirs


@pytest.mark.parametrize("until", ["0", "0 steps", "soon", "-1"])
def test_until_is_a_duration_of_at_least_a_step(until: str) -> None:
    with pytest.raises(ValueError, match=r"^until="):
        compose_run([*SMALL, f"until={until}"]).config.resolve_schedule()


def test_until_beyond_the_end_is_the_end(tmp_path: Path) -> None:
    run = build_run(compose_run([*SMALL, "epochs=1", "until=5"]).config)
    record = Record(run, tmp_path)
    record.start(changed=False)
    stop = StopVote(StopRequest(), run.peers, waits=True, until=run.config.until_step())
    ended = loop(run, record, stop)
    record.close()
    assert ended is None
