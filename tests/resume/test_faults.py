"""A run is killed at, or refused by the system, each of its changes to the disk, one after another.

The loop ends when a run passes untouched, so every call has had its turn (in `scripts/test` every
few calls, in `scripts/test --all` each one). Whatever happened: every checkpoint that is there is
whole, and the same command afterwards ends as a run that was never touched.
"""

import errno
import itertools
import os
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faults
import pytest
from comparison import assert_equal_runs
from faults import Fault, needs_faults
from processes import Trainer, answer, train
from standard_runs import StandardRuns

from trainer.storage import files

SMALL = [
    "data=synthetic", "device=cpu", "data.train_images=40", "data.test_images=10", "batch_size=20",
    "epochs=2", "log.every_steps=2", "scheduler.warmup=1 steps",
]  # fmt: skip
RUN = [*SMALL, "hydra.run.dir=run", "resume=auto"]
EVERY = os.environ.get("TRAINER_ALL_PROOFS") == "1"
pytestmark = needs_faults


@pytest.fixture(scope="module")
def untouched(standard: StandardRuns) -> Path:
    return standard.of(base=SMALL)


Case = Callable[[Fault, Path], bool]


def each_call(
    folder: Path, action: int, case: Case, *, error: int = 0, stride: int = 1, skip: int = 0
) -> int:
    """Runs a case for call 1, 2, ... until the fault no longer comes; returns how many came."""

    def one(n: int) -> bool:
        place = folder / f"call_{n}"
        place.mkdir()
        return case(Fault(place / "run", n, action, place / "journal", error), place)

    numbers = itertools.count(1 + skip, 1 if EVERY else stride)
    came = 0
    with ThreadPoolExecutor(2) as pool:  # two cores
        while True:
            results = list(pool.map(one, itertools.islice(numbers, 2)))
            came += sum(results)
            if not all(results):
                return came


def assert_whole(run: Path) -> None:
    for file in (run / "checkpoints").glob("*.pt"):
        files.read_sealed(file)


def assert_ends_equal(untouched: Path, folder: Path) -> None:
    """The same command again, without the fault."""
    train(RUN, folder)
    assert_equal_runs(untouched, folder / "run")
    left = [file for file in (folder / "run").rglob("*") if files.PARTIAL in file.name]
    assert not left
    ours = sorted(file.name for file in (folder / "run").rglob("*") if "tfevents" not in file.name)
    theirs = sorted(file.name for file in untouched.rglob("*") if "tfevents" not in file.name)
    assert ours == theirs


@pytest.mark.parametrize(
    ("action", "stride", "skip"),
    [
        pytest.param(faults.KILL_BEFORE, 23, 19, marks=pytest.mark.slow),
        (faults.KILL_HALF, 19, 20),
        pytest.param(faults.KILL_AFTER, 23, 23, marks=pytest.mark.slow),
    ],
    ids=["before", "half", "after"],
)
def test_killed_at_any_call_it_ends_as_one_never_touched(
    untouched: Path, tmp_path: Path, action: int, stride: int, skip: int
) -> None:
    def case(fault: Fault, folder: Path) -> bool:
        process = Trainer(RUN, folder, prepare=fault)
        code = process.code()
        assert code == (-9 if fault.hit() else 0), process.err
        assert_whole(folder / "run")
        if fault.hit():
            assert_ends_equal(untouched, folder)
        return fault.hit() is not None

    came = each_call(tmp_path, action, case, stride=stride, skip=0 if EVERY else skip)
    assert came > 60 // stride


@pytest.mark.parametrize(
    ("action", "error", "stride"),
    [
        (faults.FAIL_ON, errno.ENOSPC, 23),
        pytest.param(faults.FAIL_ONCE, errno.EIO, 29, marks=pytest.mark.slow),
        pytest.param(faults.FAIL_ON, errno.EROFS, 23, marks=pytest.mark.slow),
        pytest.param(faults.FAIL_ONCE, errno.EDQUOT, 23, marks=pytest.mark.slow),
    ],
    ids=["full disk", "one I/O error", "read-only from then on", "quota, once"],
)
def test_a_call_that_fails_costs_no_commit_and_is_named(
    untouched: Path, tmp_path: Path, action: int, error: int, stride: int
) -> None:
    def case(fault: Fault, folder: Path) -> bool:
        process = Trainer(RUN, folder, prepare=fault)
        code = process.code()
        hit = fault.hit()
        said = process.err + process.out
        assert "Traceback" not in said, (hit, said)
        assert_whole(folder / "run")
        if hit is None:
            assert code == 0, said
            return False
        path = Path(hit[1].replace(files.PARTIAL, ""))
        name = path.name.removeprefix(".") if files.PARTIAL in hit[1] else path.name
        rotation = hit[0] == "unlink" and "step_" in name  # the next checkpoint tries again
        hydra = ".hydra" in hit[1] and ".hydra" in said
        assert name in said or rotation or hydra, (hit, said)
        if code == 0:
            assert_equal_runs(untouched, folder / "run")
        else:
            assert code == 1, (code, hit, said)
            assert os.strerror(error) in process.err, (hit, said)
            assert process.err.splitlines()[-1].startswith("trainer: error: "), (hit, said)
        assert_ends_equal(untouched, folder)
        return True

    assert each_call(tmp_path, action, case, error=error, stride=stride) > 2


# The two text files are written by the same code.
LOGS = ["metrics.jsonl", pytest.param("lr.csv", marks=pytest.mark.slow), "tensorboard"]


def first_append(folder: Path, log: str) -> int:
    """Which call to a log appends the first of the two epochs."""
    trial = folder / "trial"
    trial.mkdir()
    watch = Fault(trial / "run" / log, 0, faults.LOG_ONLY, trial / "journal")
    train(RUN, trial, prepare=watch)
    writes = [n for n, (_, call, _) in enumerate(watch.calls(), 1) if call == "write"]
    return writes[-2]


@pytest.mark.parametrize("log", LOGS)
def test_a_log_that_fails_once_is_complete_at_the_next_commit(
    standard: StandardRuns, tmp_path: Path, log: str
) -> None:
    n = first_append(tmp_path, log)
    fault = Fault(tmp_path / "run" / log, n, faults.FAIL_ONCE, tmp_path / "j", errno.ENOSPC)
    process = train([*RUN, "epochs=3"], tmp_path, prepare=fault)
    assert fault.hit() is not None
    assert process.err.count("the training goes on") == 1
    assert log in process.err
    assert "can be written again" in process.out
    assert_equal_runs(standard.of("epochs=3", base=SMALL), tmp_path / "run")


@pytest.mark.parametrize("log", LOGS)
def test_a_log_that_stays_broken_is_named_at_the_end_and_made_up_for(
    untouched: Path, tmp_path: Path, log: str
) -> None:
    n = first_append(tmp_path, log)
    fault = Fault(tmp_path / "run" / log, n, faults.FAIL_ON, tmp_path / "j", errno.ENOSPC)
    process = train(RUN, tmp_path, prepare=fault, expect=1)
    last = process.err.splitlines()[-1]
    assert last.startswith("trainer: error: ")
    assert log in last
    assert "No space left on device" in last
    assert "trained and saved to its end: python -m trainer resume=" in last
    answer(RUN, tmp_path)
    assert_equal_runs(untouched, tmp_path / "run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_costs_lines_not_the_run(
    untouched: Path, tmp_path: Path
) -> None:
    process = train(RUN, tmp_path, stdout=Path("/dev/full"))
    assert process.err.count("standard output cannot be written") == 1
    log = (tmp_path / "run" / "trainer.log").read_text()
    assert "epoch 2/2" in log
    assert "done in" in log
    assert_equal_runs(untouched, tmp_path / "run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("closed", [False, True])
def test_a_progress_bar_on_a_broken_terminal_costs_the_bar(
    closed: bool, untouched: Path, tmp_path: Path
) -> None:
    train([*RUN, "log.progress=bar"], tmp_path, prepare=_BrokenErrors(closed))
    assert_equal_runs(untouched, tmp_path / "run")


class _BrokenErrors:
    """A standard error that is full, or closed."""

    def __init__(self, closed: bool) -> None:
        self.closed = closed

    def __call__(self) -> None:
        if self.closed:
            sys.stderr = None  # type: ignore[assignment]
        else:
            os.dup2(os.open("/dev/full", os.O_WRONLY), 2)


def test_a_machine_out_of_memory_is_one_line(tmp_path: Path) -> None:
    big = ["data.train_images=20000", "batch_size=20000", "amp=none"]
    process = Trainer([*RUN[:-2], *big, "hydra.run.dir=run"], tmp_path, prepare=_little_memory)
    assert process.code() == 1
    assert "Traceback" not in process.err
    last = process.err.splitlines()[-1]
    assert last.startswith("trainer: error: batch_size=20000: the machine is out of memory")


def _little_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * 2**30, resource.RLIM_INFINITY))


def test_every_durable_file_is_synced_renamed_and_its_folder_synced(tmp_path: Path) -> None:
    """What power loss could undo: checked by the order of calls, since a kill cannot show it."""
    watch = Fault(tmp_path / "run", 0, faults.LOG_ONLY, tmp_path / "journal")
    train(RUN, tmp_path, prepare=watch)
    calls = [(call, path) for _, call, path in watch.calls()]
    renamed = [(n, path) for n, (call, path) in enumerate(calls) if call == "rename"]
    assert {Path(path).name for _, path in renamed} >= {
        "best.pt", "last.pt", "step_00000004.pt", "metrics.jsonl", "lr.csv", "summary.json",
        "config.yaml",
    }  # fmt: skip
    for n, path in renamed:
        temporary = str(Path(path).with_name(f".{Path(path).name}{files.PARTIAL}"))
        before = [call for call, other in calls[:n] if other == temporary]
        last_open = len(before) - before[::-1].index("open")
        empty = path.endswith(("metrics.jsonl", "steps.jsonl"))  # before the first epoch
        assert before[last_open:] == (["fsync"] if empty else ["write", "fsync"]), (path, before)
        assert calls[n + 1] == ("fsync", str(Path(path).parent)), path
    made = [(n, path) for n, (call, path) in enumerate(calls) if call == "mkdir"]
    for n, path in made:
        if "checkpoints" in path:
            assert calls[n + 1] == ("fsync", str(Path(path).parent)), path
    # durable before it says "done"
    for view in ("metrics.jsonl", "steps.jsonl", "lr.csv", "tensorboard/"):
        of_view = [(n, call) for n, (call, path) in enumerate(calls) if f"/run/{view}" in path]
        assert of_view[-1][1] == "fsync", view
        done = max(n for n, path in renamed if path.endswith("summary.json"))
        assert of_view[-1][0] < done
    written = {path for call, path in calls if call == "open"}
    views = ("metrics.jsonl", "steps.jsonl", "lr.csv", "trainer.log", ".lock")
    for path in written:  # nothing durable is written in place
        name = Path(path).name
        assert files.PARTIAL in name or name in views or "/tensorboard/" in path or (
            "/.hydra/" in path), path  # fmt: skip


@pytest.mark.slow
def test_the_harness_can_fail(tmp_path: Path) -> None:
    """Teeth: writing in place, as torch.save does, is what the kill loop would catch."""
    found_half = False
    for n in range(1, 30):
        place = tmp_path / str(n)
        place.mkdir()
        fault = Fault(place / "run", n, faults.KILL_HALF, place / "journal")
        process = Trainer(RUN, place, prepare=_InPlace(fault))
        if process.code() == 0:
            break
        try:
            assert_whole(place / "run")
        except files.DamagedFile:
            found_half = True
            break
    assert found_half


class _InPlace:
    """A trainer whose writes are not atomic."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def __call__(self) -> None:
        def write(path: Path, content: bytes) -> None:
            path.write_bytes(content)

        files.write = write
        self.fault()
