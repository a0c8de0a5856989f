"""What a checkpoint refuses, and which one is taken."""

import io
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from comparison import events, metrics
from processes import TINY, answer
from standard_runs import StandardRuns, contents

from trainer.storage import checkpoint, files
from trainer.storage.comparison import entries

NEWEST, OLDER = "step_00000024.pt", "step_00000018.pt"


@pytest.fixture
def finished(standard: StandardRuns) -> Path:
    return standard.of()


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A run folder that holds nothing but the checkpoints."""
    shutil.copytree(finished / "checkpoints", tmp_path / "run" / "checkpoints")
    return tmp_path / "run"


def put(path: Path, state: object) -> None:
    """Any content with its checksum put right."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    files.write(path, files.sealed(buffer.getvalue()))


def assert_ends_equal(run: Path, finished: Path) -> None:
    ours, theirs = entries(checkpoint.find(run).state), entries(checkpoint.find(finished).state)
    for name in ("model/conv1.weight", "model/fc2.weight", "optimizer/state/0/momentum_buffer"):
        assert torch.equal(ours[name], theirs[name])
    assert metrics(run) == metrics(finished)


def test_a_run_keeps_its_two_newest_commits_the_last_and_the_best(finished: Path) -> None:
    names = sorted(file.name for file in (finished / "checkpoints").iterdir())
    assert names == ["best.pt", "last.pt", OLDER, NEWEST]
    newest = finished / "checkpoints" / NEWEST
    assert newest.read_bytes() == (finished / "checkpoints" / "last.pt").read_bytes()


def test_a_checkpoint_holds_what_the_design_says(finished: Path) -> None:
    state = checkpoint.find(finished).state
    assert state.keys() == checkpoint.KEYS
    assert state["last_epoch"] == state["progress"]["step"] == 24
    assert state["history"]["lrs"].shape == (24, 1)
    assert state["history"]["lrs"].dtype == torch.float64
    assert state["config"]["scheduler"]["name"] == "warmup"
    assert state["config"]["scheduler"]["after"]["name"] == "cosine"


def test_a_checkpoint_older_than_a_key_goes_on_with_its_default(run: Path, tmp_path: Path) -> None:
    """As a version would have written it that knew neither these keys nor the group's."""
    commit = checkpoint.find(run)
    config, fingerprint = commit.state["config"], commit.state["fingerprint"]
    for key in ("label_smoothing", "data.flip", "optimizer.nesterov", "processes"):
        group, _, name = key.rpartition(".")
        (config[group] if group else config).pop(name, None)
        fingerprint.pop(key)
    commit.state["history"].pop("momenta")
    commit.state.pop("environment")
    checkpoint.save(run, commit.state, 24, keep_last=2, best=True)
    same = ["resume=run", "epochs=5", "on_horizon_change=hold"]
    refused = answer([*same, "label_smoothing=0.1"], tmp_path, expect=2)
    assert "label_smoothing=0.1: the run was trained with label_smoothing=0.0" in refused.err
    answer(same, tmp_path)
    assert checkpoint.find(run).state["fingerprint"]["label_smoothing"] == 0.0


def test_flipped_bits_anywhere_are_refused(run: Path) -> None:
    path = run / "checkpoints" / NEWEST
    whole = path.read_bytes()
    draw = random.Random(0)
    places = [0, 1, 30, len(whole) - 1, len(whole) - 40, *draw.sample(range(len(whole)), 195)]
    for place in places:
        with path.open("r+b") as file:
            file.seek(place)
            file.write(bytes([whole[place] ^ (1 << draw.randrange(8))]))
        with pytest.raises(files.DamagedFile, match=str(path)):
            checkpoint.load(path)
        with path.open("r+b") as file:
            file.seek(place)
            file.write(whole[place : place + 1])
    assert checkpoint.load(path)["format"] == checkpoint.FORMAT


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole + b"\0",
        lambda whole: bytes(len(whole)),
        lambda whole: whole[:-1000] + bytes(1000),
        lambda whole: b"<html>404 Not Found</html>",
        lambda whole: whole[:-48],  # without the trailer: what torch.save alone writes
    ],
    ids=["empty", "half", "one byte short", "one too many", "zeros", "tail zeroed", "page", "bare"],
)
def test_whatever_the_damage_it_is_one_error_and_the_older_one_is_offered(
    run: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    newest = run / "checkpoints" / NEWEST
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.raises(files.DamagedFile, match=str(newest)) as error:
        checkpoint.find(newest)
    assert f"{OLDER} is whole" in str(error.value)
    (run / "checkpoints" / "last.pt").unlink()
    assert checkpoint.find(run).path.name == OLDER


@pytest.mark.parametrize("copy", [True, False], ids=["its copy is there", "no copy"])
def test_over_a_damaged_commit_the_newest_whole_one_goes_on_names_it_and_mends_it(
    copy: bool, finished: Path, run: Path, tmp_path: Path
) -> None:
    newest, last = run / "checkpoints" / NEWEST, run / "checkpoints" / "last.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    if not copy:
        last.unlink()
    found = checkpoint.find(run)
    assert found.path.name == ("last.pt" if copy else OLDER)
    assert len(found.damaged) == 1
    assert str(newest) in found.damaged[0]
    refused = answer([f"resume={newest}"], tmp_path, expect=1)
    assert refused.err.count("\n") == 1
    assert str(newest) in refused.err
    assert f"{OLDER} is whole" in refused.err
    assert not refused.out
    said = answer([f"resume={run}"], tmp_path)
    assert "passed over" in said.err
    assert str(newest) in said.err
    assert files.read_sealed(newest) == files.read_sealed(last)
    assert_ends_equal(run, finished)


@pytest.mark.parametrize("rotated", [False, True], ids=["its own file", "a copy of one that went"])
def test_going_back_to_an_older_commit_sets_the_newer_ones_aside(
    rotated: bool, finished: Path, run: Path, tmp_path: Path
) -> None:
    older = run / "checkpoints" / OLDER
    if rotated:
        older = older.rename(run / "checkpoints" / "best.pt")
    before = contents(run, "trainer.log")
    answer([f"resume={older}", "seed=5"], tmp_path, expect=2)
    assert contents(run, "trainer.log") == before  # what is refused changes nothing
    answer([f"resume={older}"], tmp_path)
    names = {file.name for file in (run / "checkpoints").iterdir()}
    assert {OLDER, NEWEST, f"{NEWEST}.superseded"} <= names
    assert_ends_equal(run, finished)


def test_without_step_files_the_last_checkpoint_is_taken(run: Path, tmp_path: Path) -> None:
    for file in (run / "checkpoints").glob("step_*"):
        file.unlink()
    assert checkpoint.find(run).path.name == "last.pt"
    assert checkpoint.find(run / "checkpoints").path.name == "last.pt"
    refused = answer([*TINY, f"hydra.run.dir={run}"], tmp_path, expect=2)
    assert "belongs to another run" in refused.err
    answer([f"resume={run}"], tmp_path)
    assert (run / "checkpoints" / NEWEST).exists()


def test_what_a_kill_behind_the_last_commit_left_out_is_made_up_for(
    finished: Path, run: Path, tmp_path: Path
) -> None:
    answer([f"resume={run}"], tmp_path)  # the folder holds nothing but checkpoints
    assert metrics(run) == metrics(finished)
    assert events(run) == events(finished)
    assert (run / "lr.csv").read_bytes() == (finished / "lr.csv").read_bytes()
    assert '"status": "done"' in (run / "summary.json").read_text()
    assert "nothing to do" in answer([f"resume={run}"], tmp_path).out


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_a_malicious_checkpoint_runs_no_code(run: Path, tmp_path: Path) -> None:
    path = run / "checkpoints" / "step_00000099.pt"
    put(path, {"format": 1, "model": Malicious(tmp_path / "marker")})
    with pytest.raises(files.DamagedFile, match="cannot be read"):
        checkpoint.load(path)
    assert not (tmp_path / "marker").exists()


def test_a_newer_format_is_refused_with_both_versions(run: Path) -> None:
    path = run / "checkpoints" / NEWEST
    put(path, checkpoint.load(path) | {"format": 99})
    with pytest.raises(ValueError, match="format 99, this program reads 1"):
        checkpoint.load(path)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        checkpoint.find(tmp_path)


def test_an_lr_in_the_ledger_that_the_schedule_does_not_give_is_refused(
    run: Path, tmp_path: Path
) -> None:
    path = run / "checkpoints" / NEWEST
    state = checkpoint.load(path)
    lrs = state["history"]["lrs"]
    lrs[7, 0] = torch.nextafter(lrs[7, 0], torch.tensor(1.0, dtype=torch.float64))  # the last bit
    put(path, state)
    longer = [f"resume={path}", "epochs=5", "on_horizon_change=hold"]
    refused = answer(longer, tmp_path, expect=2)
    assert "scheduler: step 7 was trained with LR [" in refused.err
    assert refused.err.count("\n") == 1


def test_what_cannot_be_read_is_passed_over_like_what_is_damaged(run: Path) -> None:
    (run / "checkpoints" / "step_00000099.pt").mkdir()
    found = checkpoint.find(run)
    assert found.state["progress"]["step"] == 24
    assert "step_00000099.pt: Is a directory" in found.damaged[0]


def test_going_back_leaves_no_best_or_last_of_the_future_that_was_given_up(
    standard: StandardRuns, tmp_path: Path
) -> None:
    # the last epoch is the best
    best = ("scheduler=constant", "checkpoint.keep_last=9", "checkpoint.monitor=train/loss")
    checkpoints = standard.copy(tmp_path / "run", *best) / "checkpoints"
    answer([f"resume={checkpoints / 'step_00000012.pt'}", "epochs=2"], tmp_path)
    assert checkpoint.load(checkpoints / "last.pt")["progress"]["step"] == 12
    assert not (checkpoints / "best.pt").exists()
    assert (checkpoints / "best.pt.superseded").exists()
    assert "nothing to do" in answer(["resume=run"], tmp_path).out  # it ends where it was asked to
    refused = answer([f"resume={checkpoints / 'step_00000003.pt'}"], tmp_path, expect=2)
    assert f"resume={tmp_path / 'run'} goes on from the newest" in refused.err


def test_a_pickle_that_breaks_the_reader_is_one_error(run: Path) -> None:
    path = run / "checkpoints" / NEWEST
    for content in (b".", b"", b"(lp0\n.", b"not a pickle"):
        files.write(path, files.sealed(content))
        with pytest.raises(files.DamagedFile):
            checkpoint.load(path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("progress", 5, "progress is not a table"),
        ("progress", {}, "progress.epoch is no whole number"),
        ("progress", {"epoch": 1, "step_in_epoch": 0, "step": 6.5}, "progress.step is no whole"),
        ("progress", {"epoch": 1, "step_in_epoch": 0, "step": 6}, "progress.seconds is no number"),
        (
            "progress",
            {"epoch": 1, "step_in_epoch": 0, "step": 6, "seconds": 1.0},
            "history.lrs is of",
        ),
        ("history", {}, "history.lrs is no tensor"),
        ("rows", None, "history.rows is no list"),
        ("rows", [{}], "history.rows holds one that is not epoch, lr, step"),
        ("rows", [5], "history.rows holds one that is not epoch, lr, step"),
        ("model", {"fc2.bias": 5}, "model holds more than tensors"),
        ("ema", {"fc2.bias": 5}, "ema holds more than tensors"),
    ],
)
def test_a_table_that_holds_something_else_is_one_error(
    run: Path, key: str, value: object, said: str
) -> None:
    state = checkpoint.load(run / "checkpoints" / "last.pt")
    if key == "rows":
        key, value = "history", state["history"] | {"rows": value}
    buffer = io.BytesIO()
    torch.save(state | {key: value}, buffer)
    path = run / "checkpoints" / NEWEST
    with pytest.raises(files.DamagedFile, match=f"^{path}: {said}"):
        checkpoint.parse(buffer.getvalue(), path)
