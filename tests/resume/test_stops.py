"""A signal at a chosen place: the run checkpoints there, leaves with its code, and ends equal."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from comparison import assert_equal_runs
from faults import SignalAt, ends_by
from processes import TINY, Trainer, train

from trainer.storage import checkpoint, files

RUN = [*TINY, "data.val_size=40", "scheduler.warmup=1.5", "hydra.run.dir=run", "resume=auto"]
EVERY = os.environ.get("TRAINER_ALL_PROOFS") == "1"
STEPS = 4  # steps in an epoch: 80 images in batches of 20
PLACES = {
    "before the first step": ("build.py", "build_run", 1),
    "writing the first checkpoint": ("files.py", "write", 1),
    "in the first epoch": ("history.py", "advance", 2),
    "at an epoch's last step": ("history.py", "advance", 2 * STEPS),
    "in the first evaluation": ("evaluation.py", "__call__", 1),
    "in the last evaluation": ("evaluation.py", "__call__", 4),
    "in the final test": ("evaluation.py", "__call__", 5),
    "writing a checkpoint": ("files.py", "write", 9),
    "before a rename's folder is synced": ("files.py", "_sync_folder", 9),
    "in the logs": ("logs.py", "append", 4),
    "in the event file": ("event_file.py", "append", 3),
    "in the summary": ("summary.py", "write_summary", 2),
}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untouched")
    train(RUN, folder)
    return folder / "run"


ALTERNATELY = (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
CASES = [
    (place, number)
    for count, place in enumerate(PLACES)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
    # kills at each call are tests/resume/test_faults.py's; all three share the place's code here
    if EVERY or number == ALTERNATELY[count % len(ALTERNATELY)]
]


@pytest.mark.parametrize(("place", "number"), CASES)
def test_a_signal_at_any_place_is_made_up_for(
    untouched: Path, tmp_path: Path, place: str, number: int
) -> None:
    process = Trainer(RUN, tmp_path, prepare=SignalAt(*PLACES[place], number))
    code = process.code()
    late = place == "in the summary" and number != signal.SIGKILL  # it was done by then
    assert code == (0 if late else ends_by(number)), process.err
    assert "Traceback" not in process.err
    if not late and number != signal.SIGKILL:
        summary = json.loads((tmp_path / "run" / "summary.json").read_text())
        assert summary["status"] == "stopped"
        assert f"stopped by {signal.Signals(number).name}" in process.err
    train(RUN, tmp_path)
    assert_equal_runs(untouched, tmp_path / "run")


def test_a_stop_commits_the_very_update_it_came_in(tmp_path: Path) -> None:
    for k in (1, 3, 6):
        run = [*RUN[:-2], f"hydra.run.dir=run{k}"]
        stop = SignalAt("history.py", "advance", k, signal.SIGTERM)
        assert Trainer(run, tmp_path, prepare=stop).code() == 143
        assert checkpoint.find(tmp_path / f"run{k}").state["progress"]["step"] == k


def test_a_stop_in_an_evaluation_does_not_wait_for_it(tmp_path: Path) -> None:
    run = [*TINY, "data.test_images=4000", "hydra.run.dir=run"]
    stop = SignalAt("evaluation.py", "__call__", 2, signal.SIGTERM)
    assert Trainer(run, tmp_path, prepare=stop).code() == 143
    progress = checkpoint.find(tmp_path / "run").state["progress"]
    assert (progress["epoch"], progress["step_in_epoch"], progress["step"]) == (1, 6, 12)
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(rows) == 1
    train(["resume=run"], tmp_path)
    speeds = [json.loads(x)["images_per_second"] for x in
              (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]  # fmt: skip
    assert min(speeds) > 0.01 * max(speeds)  # the time before the stop counts


def test_a_second_ctrl_c_leaves_at_once_and_every_file_whole(
    untouched: Path, tmp_path: Path
) -> None:
    # also while an epoch's checkpoint is being written
    for n in (2, STEPS + 1, 2 * STEPS + 1) if EVERY else (STEPS + 1,):
        folder = tmp_path / str(n)
        folder.mkdir()
        stop = SignalAt("history.py", "advance", n, signal.SIGINT, twice=True)
        process = Trainer(RUN, folder, prepare=stop)
        assert process.code() == 130
        assert "stopped by" not in process.err  # it did not wait for the checkpoint
        for file in (folder / "run" / "checkpoints").glob("*.pt"):
            files.read_sealed(file)
        train(RUN, folder)
        assert_equal_runs(untouched, folder / "run")


def test_further_sigterms_are_ignored(untouched: Path, tmp_path: Path) -> None:
    stop = SignalAt("evaluation.py", "__call__", 2, signal.SIGTERM, twice=True)
    process = Trainer(RUN, tmp_path, prepare=stop)
    assert process.code() == 143
    assert "stopped by SIGTERM" in process.err
    train(RUN, tmp_path)
    assert_equal_runs(untouched, tmp_path / "run")


def _workers_of(process: Trainer) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == process.process.pid:
                found.append(int(entry.name))
    return found


def _until(found: Callable[[], object], process: Trainer) -> None:
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end, process.err
        assert process.process.is_alive(), process.err
        time.sleep(0.002)


def test_ctrl_c_to_the_process_group_lets_no_worker_speak(tmp_path: Path) -> None:
    loader = ["data.loader=torchvision", "data.workers=2"]
    process = Trainer(
        [*TINY, *loader, "epochs=200", "hydra.run.dir=run"], tmp_path, prepare=os.setsid
    )
    process.wait_for("epoch   1/200")
    _until(lambda: _workers_of(process), process)
    assert process.process.pid is not None
    os.killpg(process.process.pid, signal.SIGINT)
    assert process.code() == 130
    said = [line for line in process.err.splitlines() if not line.startswith("warning:")]
    assert len(said) == 1, process.err
    assert said[0].startswith("stopped by SIGINT")
    goes_on(tmp_path)


def test_a_killed_worker_ends_the_run_with_one_line_and_it_can_go_on(tmp_path: Path) -> None:
    loader = ["data.loader=torchvision", "data.workers=2"]
    process = Trainer([*TINY, *loader, "epochs=200", "hydra.run.dir=run"], tmp_path)
    process.wait_for("epoch   1/200")
    while process.code(0.05) is None:  # one that was about to end anyway is not missed
        for worker in _workers_of(process)[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
    assert process.code() == 1, process.err
    line = process.err.splitlines()[-1]
    assert line.startswith("trainer: error: data.workers=2: a worker process failed: ")
    assert "data.loader=device" in line
    assert '"status": "failed"' in (tmp_path / "run" / "summary.json").read_text()
    goes_on(tmp_path)


def test_a_killed_run_leaves_no_worker_behind(tmp_path: Path) -> None:
    loader = ["data.loader=torchvision", "data.workers=2"]
    process = Trainer([*TINY, *loader, "epochs=200", "hydra.run.dir=run"], tmp_path)
    process.wait_for("epoch   1/200")
    _until(lambda: len(_workers_of(process)) == 2, process)
    workers = _workers_of(process)
    process.kill(signal.SIGKILL)
    assert process.code() == -signal.SIGKILL
    train(
        ["resume=run", "epochs=201", "on_horizon_change=hold"],
        tmp_path,
        expect=143,
        prepare=SignalAt("history.py", "advance", 3, signal.SIGTERM),
    )  # not locked by them
    end = time.monotonic() + 30
    while any(_runs(worker) for worker in workers):
        assert time.monotonic() < end
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def goes_on(folder: Path) -> None:
    """A resume trains on from a whole checkpoint."""
    resumed = Trainer(
        ["resume=run"], folder, prepare=SignalAt("history.py", "advance", 3, signal.SIGTERM)
    )
    assert resumed.code() == 143, resumed.err
    assert "resumed from" in resumed.out
