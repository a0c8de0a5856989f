"""A run is killed at, or refused by the system, each of its changes to the disk, one after another.

The loop ends when a run passes untouched, so every call has had its turn (in `scripts/test` every
few calls, in `scripts/test --all` each one). Whatever happened: every checkpoint that is there is
whole, and the same command afterwards ends as a run that was never touched.
"""

import errno
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faults
import pytest
from comparison import assert_equal_runs
from faults import Fault, needs_faults
from processes import Trainer, train

from trainer import storage

RUN = [
    "data=synthetic", "device=cpu", "data.train_images=40", "data.test_images=10", "batch_size=20",
    "epochs=2", "log.every_steps=2", "scheduler.warmup=1 steps", "hydra.run.dir=run", "resume=auto",
]  # fmt: skip
EVERY = os.environ.get("TRAINER_ALL_PROOFS") == "1"
pytestmark = needs_faults


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untouched")
    train(RUN, folder)
    return folder / "run"


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
            results = list(pool.map(one, itertools.islice(numbers, 4)))
            came += sum(results)
            if not all(results):
                return came


def assert_whole(run: Path) -> None:
    for file in (run / "checkpoints").glob("*.pt"):
        storage.read_sealed(file)


def assert_ends_equal(untouched: Path, folder: Path) -> None:
    """The same command again, without the fault."""
    train(RUN, folder)
    assert_equal_runs(untouched, folder / "run")
    left = [file for file in (folder / "run").rglob("*") if storage.PARTIAL in file.name]
    assert not left
    ours = sorted(file.name for file in (folder / "run").rglob("*") if "tfevents" not in file.name)
    theirs = sorted(file.name for file in untouched.rglob("*") if "tfevents" not in file.name)
    assert ours == theirs


@pytest.mark.parametrize(
    ("action", "stride", "skip"),
    [(faults.KILL_BEFORE, 9, 19), (faults.KILL_HALF, 9, 20), (faults.KILL_AFTER, 9, 23)],
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

    assert each_call(tmp_path, action, case, stride=stride, skip=0 if EVERY else skip) > 7


@pytest.mark.parametrize(
    ("action", "error", "stride"),
    [
        (faults.FAIL_ON, errno.ENOSPC, 7),
        (faults.FAIL_ONCE, errno.EIO, 11),
        (faults.FAIL_ON, errno.EROFS, 23),
        (faults.FAIL_ONCE, errno.EDQUOT, 23),
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
        path = Path(hit[1].replace(storage.PARTIAL, ""))
        name = path.name.removeprefix(".") if storage.PARTIAL in hit[1] else path.name
        rotation = hit[0] == "unlink"  # the next commit tries again
        hydra = ".hydra" in hit[1] and "Hydra's record of the run" in said
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
