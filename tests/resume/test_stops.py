"""A run that is stopped checkpoints that very step and leaves; workers leave with it."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from comparison import assert_equal_runs
from faults import SignalAt
from processes import TINY, Trainer, answer, train
from standard_runs import StandardRuns

from trainer.storage import checkpoint, files
from trainer.storage.run_folder import rows as rows_of

VALIDATED = ("data.val_size=40", "scheduler.warmup=1.5")
RUN = [*TINY, *VALIDATED, "hydra.run.dir=run", "resume=auto"]
EVERY = os.environ.get("TRAINER_ALL_PROOFS") == "1"
STEPS = 4  # steps in an epoch: 80 images in batches of 20


def test_a_stop_commits_the_very_update_it_came_in(tmp_path: Path) -> None:
    for k in (1, 6):  # the second is a resume's fifth
        stop = SignalAt("history.py", "advance", 1 if k == 1 else 5, signal.SIGTERM)
        assert Trainer(RUN, tmp_path, prepare=stop).code() == 143
        assert checkpoint.find(tmp_path / "run").state["progress"]["step"] == k


def test_a_stop_in_an_evaluation_does_not_wait_for_it(tmp_path: Path) -> None:
    run = [*TINY, "data.test_images=4000", "epochs=3", "hydra.run.dir=run"]
    stop = SignalAt("evaluation.py", "__call__", 2, signal.SIGTERM)
    assert Trainer(run, tmp_path, prepare=stop).code() == 143
    progress = checkpoint.find(tmp_path / "run").state["progress"]
    assert (progress["epoch"], progress["step_in_epoch"], progress["step"]) == (1, 6, 12)
    assert len(rows_of(tmp_path / "run")) == 1
    answer(["resume=run"], tmp_path)
    speeds = [row["images_per_second"] for row in rows_of(tmp_path / "run")]
    assert min(speeds) > 0.01 * max(speeds)  # the time before the stop counts


def test_a_second_ctrl_c_leaves_at_once_and_every_file_whole(
    standard: StandardRuns, tmp_path: Path
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
        assert_equal_runs(standard.of(*VALIDATED), folder / "run")


def test_further_sigterms_are_ignored(standard: StandardRuns, tmp_path: Path) -> None:
    stop = SignalAt("evaluation.py", "__call__", 2, signal.SIGTERM, twice=True)
    process = Trainer(RUN, tmp_path, prepare=stop)
    assert process.code() == 143
    assert "stopped by SIGTERM" in process.err
    train(RUN, tmp_path)
    assert_equal_runs(standard.of(*VALIDATED), tmp_path / "run")


def with_workers(folder: Path, prepare: Callable[[], object] | None = None) -> Trainer:
    """A long run in its second epoch, its batches cut by two processes."""
    loader = ["data.loader=torchvision", "data.workers=2"]
    run = [*TINY, *loader, "epochs=200", "hydra.run.dir=run"]
    process = Trainer(run, folder, prepare=prepare)
    process.wait_for("epoch   1/200")
    return process


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
    process = with_workers(tmp_path, prepare=os.setsid)
    _until(lambda: _workers_of(process), process)
    assert process.process.pid is not None
    os.killpg(process.process.pid, signal.SIGINT)
    assert process.code() == 130
    said = [line for line in process.err.splitlines() if not line.startswith("warning:")]
    assert len(said) == 1, process.err
    assert said[0].startswith("stopped by SIGINT")
    goes_on(tmp_path)


def test_a_killed_worker_ends_the_run_with_one_line_and_it_can_go_on(tmp_path: Path) -> None:
    process = with_workers(tmp_path)
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
    process = with_workers(tmp_path)
    _until(lambda: len(_workers_of(process)) == 2, process)
    workers = _workers_of(process)
    process.kill(signal.SIGKILL)
    assert process.code() == -signal.SIGKILL
    goes_on(tmp_path)  # not locked by them
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
    stop = SignalAt("history.py", "advance", 3, signal.SIGTERM)
    words = ["resume=run", "data.loader=device", "data.workers=0"]
    assert "resumed from" in train(words, folder, prepare=stop, expect=143).out
