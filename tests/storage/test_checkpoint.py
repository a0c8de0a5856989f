"""What a checkpoint refuses, and which one is taken."""

import io
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from comparison import events, metrics
from faults import SignalAt
from processes import TINY, Trainer, train

from trainer.storage import checkpoint, files


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    train([*TINY, "epochs=2", "hydra.run.dir=run"], folder)
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for file in (finished / "checkpoints").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return tmp_path / "run"


def test_a_run_keeps_its_two_newest_commits_the_last_and_the_best(finished: Path) -> None:
    names = sorted(file.name for file in (finished / "checkpoints").iterdir())
    assert names == ["best.pt", "last.pt", "step_00000006.pt", "step_00000012.pt"]
    newest = finished / "checkpoints" / "step_00000012.pt"
    assert newest.read_bytes() == (finished / "checkpoints" / "last.pt").read_bytes()


def test_a_checkpoint_holds_what_the_design_says(finished: Path) -> None:
    state = checkpoint.find(finished).state
    assert state.keys() == checkpoint.KEYS
    assert state["last_epoch"] == state["progress"]["step"] == 12
    assert state["history"]["lrs"].shape == (12, 1)
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
    checkpoint.save(run, commit.state, 12, keep_last=2, best=True)
    same = ["resume=run", "epochs=3", "on_horizon_change=hold"]
    refused = Trainer([*same, "label_smoothing=0.1"], tmp_path)
    assert refused.code() == 2
    assert "label_smoothing=0.1: the run was trained with label_smoothing=0.0" in refused.err
    train(same, tmp_path)
    assert checkpoint.find(run).state["fingerprint"]["label_smoothing"] == 0.0


def test_flipped_bits_anywhere_are_refused(run: Path) -> None:
    path = run / "checkpoints" / "step_00000012.pt"
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
    newest = run / "checkpoints" / "step_00000012.pt"
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.raises(files.DamagedFile, match=str(newest)) as error:
        checkpoint.find(newest)
    assert "step_00000006.pt is whole" in str(error.value)
    (run / "checkpoints" / "last.pt").unlink()
    assert checkpoint.find(run).path.name == "step_00000006.pt"


def test_the_newest_whole_commit_is_taken_and_the_damaged_one_named(run: Path) -> None:
    newest = run / "checkpoints" / "step_00000012.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    (run / "checkpoints" / "last.pt").unlink()
    commit = checkpoint.find(run)
    assert commit.path.name == "step_00000006.pt"
    assert len(commit.damaged) == 1
    assert str(newest) in commit.damaged[0]


def test_resuming_over_a_damaged_commit_says_so_and_ends_equal(
    finished: Path, run: Path, tmp_path: Path
) -> None:
    newest = run / "checkpoints" / "step_00000012.pt"
    newest.write_bytes(b"")
    process = train([f"resume={run}"], tmp_path)
    assert "passed over" in process.err
    assert str(newest) in process.err
    ours, theirs = checkpoint.find(run).state, checkpoint.find(finished).state
    for name, weight in ours["model"].items():
        assert torch.equal(weight, theirs["model"][name])


def test_a_damaged_file_named_itself_is_refused_and_the_whole_one_offered(
    run: Path, tmp_path: Path
) -> None:
    newest = run / "checkpoints" / "step_00000012.pt"
    newest.write_bytes(newest.read_bytes()[:-1])
    refused = train([f"resume={newest}"], tmp_path, expect=1)
    assert refused.err.count("\n") == 1
    assert str(newest) in refused.err
    assert "step_00000006.pt is whole" in refused.err
    assert not refused.out


def test_going_back_to_an_older_commit_sets_the_newer_ones_aside(
    finished: Path, run: Path, tmp_path: Path
) -> None:
    train([f"resume={run / 'checkpoints' / 'step_00000006.pt'}"], tmp_path)
    names = {file.name for file in (run / "checkpoints").iterdir()}
    assert "step_00000012.pt.superseded" in names
    ours, theirs = checkpoint.find(run).state, checkpoint.find(finished).state
    assert torch.equal(ours["model"]["fc2.weight"], theirs["model"]["fc2.weight"])


def test_a_refused_resume_changes_nothing(run: Path, tmp_path: Path) -> None:
    before = {f: f.read_bytes() for f in (run / "checkpoints").iterdir()}
    best = run / "checkpoints" / "best.pt"
    train([f"resume={best}", "seed=5"], tmp_path, expect=2)
    assert before == {f: f.read_bytes() for f in (run / "checkpoints").iterdir()}


def test_going_on_from_a_file_whose_commit_was_rotated_away_leaves_a_commit(
    finished: Path, run: Path, tmp_path: Path
) -> None:
    older = run / "checkpoints" / "step_00000006.pt"
    older.rename(run / "checkpoints" / "best.pt")
    train([f"resume={run / 'checkpoints' / 'best.pt'}"], tmp_path)
    names = {file.name for file in (run / "checkpoints").iterdir()}
    assert {"step_00000006.pt", "step_00000012.pt", "step_00000012.pt.superseded"} <= names
    ours, theirs = checkpoint.find(run).state, checkpoint.find(finished).state
    assert torch.equal(ours["model"]["fc2.weight"], theirs["model"]["fc2.weight"])


def test_without_step_files_the_last_checkpoint_is_taken(run: Path, tmp_path: Path) -> None:
    for file in (run / "checkpoints").glob("step_*"):
        file.unlink()
    assert checkpoint.find(run).path.name == "last.pt"
    assert checkpoint.find(run / "checkpoints").path.name == "last.pt"
    refused = train([*TINY, f"hydra.run.dir={run}"], tmp_path, expect=2)
    assert "belongs to another run" in refused.err
    train([f"resume={run}"], tmp_path)
    assert (run / "checkpoints" / "step_00000012.pt").exists()


def test_what_a_kill_behind_the_last_commit_left_out_is_made_up_for(
    finished: Path, run: Path, tmp_path: Path
) -> None:
    train([f"resume={run}"], tmp_path)  # the folder holds nothing but checkpoints
    assert metrics(run) == metrics(finished)
    assert events(run) == events(finished)
    assert (run / "lr.csv").read_bytes() == (finished / "lr.csv").read_bytes()
    assert '"status": "done"' in (run / "summary.json").read_text()
    again = train([f"resume={run}"], tmp_path)
    assert "nothing to do" in again.out


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_a_malicious_checkpoint_runs_no_code(run: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"format": 1, "model": Malicious(tmp_path / "marker")}, buffer)
    path = run / "checkpoints" / "step_00000099.pt"
    files.write(path, files.sealed(buffer.getvalue()))  # its checksum is right
    with pytest.raises(files.DamagedFile, match="cannot be read"):
        checkpoint.load(path)
    assert not (tmp_path / "marker").exists()


def test_a_newer_format_is_refused_with_both_versions(run: Path) -> None:
    path = run / "checkpoints" / "step_00000012.pt"
    state = checkpoint.load(path)
    buffer = io.BytesIO()
    torch.save(state | {"format": 99}, buffer)
    files.write(path, files.sealed(buffer.getvalue()))
    with pytest.raises(ValueError, match="format 99, this program reads 1"):
        checkpoint.load(path)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        checkpoint.find(tmp_path)


def test_an_lr_in_the_ledger_that_the_schedule_does_not_give_is_refused(
    run: Path, tmp_path: Path
) -> None:
    path = run / "checkpoints" / "step_00000012.pt"
    state = checkpoint.load(path)
    lrs = state["history"]["lrs"]
    lrs[7, 0] = torch.nextafter(lrs[7, 0], torch.tensor(1.0, dtype=torch.float64))  # the last bit
    buffer = io.BytesIO()
    torch.save(state, buffer)
    files.write(path, files.sealed(buffer.getvalue()))
    refused = train([f"resume={path}", "epochs=3", "on_horizon_change=hold"], tmp_path, expect=2)
    assert "scheduler: step 7 was trained with LR [" in refused.err
    assert refused.err.count("\n") == 1


def test_the_copy_of_a_damaged_newest_commit_is_taken_and_mends_it(
    finished: Path, run: Path, tmp_path: Path
) -> None:
    newest = run / "checkpoints" / "step_00000012.pt"
    newest.write_bytes(newest.read_bytes()[:-5])
    found = checkpoint.find(run)
    assert found.path.name == "last.pt"
    assert found.state["progress"]["step"] == 12
    train([f"resume={run}"], tmp_path)
    assert files.read_sealed(newest) == files.read_sealed(run / "checkpoints" / "last.pt")
    assert metrics(run) == metrics(finished)


def test_what_cannot_be_read_is_passed_over_like_what_is_damaged(run: Path) -> None:
    (run / "checkpoints" / "step_00000099.pt").mkdir()
    found = checkpoint.find(run)
    assert found.state["progress"]["step"] == 12
    assert "step_00000099.pt: Is a directory" in found.damaged[0]


def test_going_back_leaves_no_best_or_last_of_the_future_that_was_given_up(tmp_path: Path) -> None:
    monitor = ["checkpoint.keep_last=9", "checkpoint.monitor=train/loss", "hydra.run.dir=run"]
    train([*TINY, "scheduler=constant", *monitor], tmp_path)  # the last epoch is the best
    step = tmp_path / "run" / "checkpoints" / "step_00000012.pt"
    train([f"resume={step}", "epochs=2"], tmp_path)
    checkpoints = tmp_path / "run" / "checkpoints"
    assert checkpoint.load(checkpoints / "last.pt")["progress"]["step"] == 12
    assert not (checkpoints / "best.pt").exists()
    assert (checkpoints / "best.pt.superseded").exists()
    assert "nothing to do" in train(["resume=run"], tmp_path).out  # it ends where it was asked to
    gone = checkpoints / "step_00000003.pt"
    refused = train([f"resume={gone}"], tmp_path, expect=2)
    assert f"resume={tmp_path / 'run'} goes on from the newest" in refused.err


def test_another_length_outlives_a_kill(tmp_path: Path) -> None:
    train([*TINY, "epochs=2", "hydra.run.dir=run"], tmp_path)
    longer = ["resume=run", "epochs=4", "on_horizon_change=stretch"]
    kill = SignalAt("history.py", "advance", 2, signal.SIGKILL)
    assert Trainer(longer, tmp_path, prepare=kill).code() == -signal.SIGKILL
    assert "epoch 4/4" in train(["resume=run"], tmp_path).out


def test_a_pickle_that_breaks_the_reader_is_one_error(run: Path) -> None:
    path = run / "checkpoints" / "step_00000012.pt"
    for content in (b".", b"", b"(lp0\n.", b"not a pickle"):
        files.write(path, files.sealed(content))
        with pytest.raises(files.DamagedFile):
            checkpoint.load(path)
    buffer = io.BytesIO()
    torch.save(checkpoint.load(run / "checkpoints" / "last.pt") | {"progress": 5}, buffer)
    files.write(path, files.sealed(buffer.getvalue()))
    with pytest.raises(files.DamagedFile, match="progress is not a table"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("progress", {}, "progress.epoch is no whole number"),
        ("progress", {"epoch": 1, "step_in_epoch": 0, "step": 6.5}, "progress.step is no whole"),
        ("progress", {"epoch": 1, "step_in_epoch": 0, "step": 6}, "progress.seconds is no number"),
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
    path = run / "checkpoints" / "step_00000012.pt"
    with pytest.raises(files.DamagedFile, match=f"^{path}: {said}"):
        checkpoint.parse(buffer.getvalue(), path)


def test_a_run_keeps_its_absolute_paths_when_the_same_command_goes_on(tmp_path: Path) -> None:
    init = [*TINY, "epochs=1", "hydra.run.dir=source"]
    train(init, tmp_path)
    run = [*TINY, "init=source", "hydra.run.dir=run", "resume=auto"]
    kill = SignalAt("history.py", "advance", 8, signal.SIGKILL)
    assert Trainer(run, tmp_path, prepare=kill).code() == -signal.SIGKILL
    train(run, tmp_path)
    assert checkpoint.find(tmp_path / "run").state["config"]["init"] == str(tmp_path / "source")
