"""Whether two checkpoints, or two runs, are equal bit for bit, and where they first differ."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from trainer.storage import checkpoint, run_folder

# What a clock says is not part of a result.
CLOCKS = ("seconds", "train_seconds", "total_seconds", "images_per_second", "time")
# Places and other things that a resumed run may change.
ELSEWHERE = ("config", "environment", "lineage")

# Of summary.json: what is a result. The rest says where, when and by what command.
RESULTS = (
    "status", "name", "epochs", "updates", "skipped_updates", "last", "best", "test_last",
    "test_best", "parameters", "precision", "fingerprint",
)  # fmt: skip

COPIES = (run_folder.best_file(Path()).name, run_folder.last_file(Path()).name)

Point = tuple[str, int, float]
"""Tag, completed steps, value."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that two runs do not share.

    Attributes:
        where: File, or checkpoint and entry.
        what: How the two differ there.
    """

    where: str
    what: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.where}: {self.what}"


def entries(state: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint as one flat table, in the order of its keys, clocks and places left out."""
    plain = {key: value for key, value in state.items() if key not in ELSEWHERE}
    return {key: value for key, value in _flat(plain, "") if key.rpartition("/")[2] not in CLOCKS}


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    inner: Any = None
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    if inner is None:
        yield key, value
        return
    for name, part in inner:
        yield from _flat(part, f"{key}/{name}" if key else str(name))


def digest(table: Mapping[str, Any]) -> str:
    """SHA-256 over names, types, shapes and bytes; the same for equal content in any file."""
    total = hashlib.sha256()
    for key in sorted(table):
        total.update(key.encode())
        total.update(_content(table[key]))
    return total.hexdigest()


def _content(value: Any) -> bytes:
    if isinstance(value, torch.Tensor):
        described = f"{value.dtype}{tuple(value.shape)}{value.stride()}".encode()
        return described + value.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return f"{type(value).__name__}:{value!r}".encode()


def first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> Difference | None:
    """The first entry that two flat tables do not share bit for bit; None: they are equal."""
    for key in [*one, *(k for k in other if k not in one)]:
        if key not in one or key not in other:
            return Difference(key, f"only in the {'second' if key not in one else 'first'}")
        if _content(one[key]) != _content(other[key]):
            return Difference(key, _how(one[key], other[key]))
    return None


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Difference]:
    """Every entry that two flat tables do not share."""
    keys = [*one, *(k for k in other if k not in one)]
    found = [
        first_difference(
            {k: one[k] for k in (key,) if k in one}, {k: other[k] for k in (key,) if k in other}
        )
        for key in keys
    ]
    return [difference for difference in found if difference is not None]


def _how(one: Any, other: Any) -> str:
    tensors = isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
    if not tensors:
        return f"{one!r} against {other!r}"
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{one.dtype} {tuple(one.shape)} against {other.dtype} {tuple(other.shape)}"
    apart = (one.double() - other.double()).abs()
    count = int((one != other).sum())
    return (
        f"{count:,} of {one.numel():,} values differ, by {float(apart.max()):.3g} at most"
        if count
        else "the same numbers in another order in memory, or in other bits (-0.0, NaNs)"
    )


def metrics(folder: Path, notes: list[str] | None = None) -> list[dict[str, float]]:
    """The rows of a run's metrics.jsonl, clocks left out; `notes` says what is damaged."""
    return [_without_clocks(row) for row in run_folder.rows(folder, notes)]


def _without_clocks(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in CLOCKS}


def _results(folder: Path) -> dict[str, Any]:
    return {
        key: _without_clocks(value) if isinstance(value, dict) else value
        for key, value in run_folder.summary(folder).items()
        if key in RESULTS
    }


def events(folder: Path) -> list[Point]:
    """Every point of all raw event files of a run, by TensorBoard's own reader."""
    points: list[Point] = []
    for file in sorted(run_folder.events(folder).glob("events.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.tag.rpartition("/")[2] not in CLOCKS:
                    points.append((value.tag, event.step, value.tensor.float_val[0]))
    return points


def compare_runs(one: Path, other: Path, *, complete: bool = False) -> Difference | None:
    """The first difference between two finished runs; None: equal bit for bit.

    Checkpoints that both still have are compared from the oldest on, then best.pt and last.pt,
    then the logs and the summary: the raw event files must hold each point once.

    Args:
        one: A run's folder.
        other: Another's.
        complete: The other must have every checkpoint of the one.

    Raises:
        DamagedFile: If a checkpoint is damaged.
        FileNotFoundError: If a file is missing.
    """
    ours = [path.name for path in reversed(run_folder.checkpoints(one))]
    theirs = {path.name for path in run_folder.checkpoints(other)}
    if not ours or ours[-1] not in theirs or (complete and set(ours) - theirs):
        return Difference(
            run_folder.CHECKPOINTS,
            f"{one} has {', '.join(ours)}, {other} has {', '.join(sorted(theirs))}",
        )
    equal_until = "the beginning"
    for name in [*(n for n in ours if n in theirs), *COPIES]:
        first, second = (checkpoint.load(f / run_folder.CHECKPOINTS / name) for f in (one, other))
        difference = first_difference(entries(first), entries(second))
        if difference is not None:
            where = f"{_position(first)}, {difference.where} (equal until {equal_until})"
            return Difference(where, difference.what)
        equal_until = _position(first)
    return _compare_logs(one, other)


def _compare_logs(one: Path, other: Path) -> Difference | None:
    damaged: list[str] = []
    if repr(metrics(one, damaged)) != repr(metrics(other, damaged)) or damaged:
        return Difference(run_folder.METRICS, damaged[0] if damaged else "the rows differ")
    if (one / run_folder.LR).read_bytes() != (other / run_folder.LR).read_bytes():
        return Difference(run_folder.LR, "the LRs differ")
    ours, theirs = events(one), events(other)
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a != b:
            return Difference(f"{run_folder.TENSORBOARD}, point {number}", f"{a} against {b}")
    if len(ours) != len(theirs):
        return Difference(run_folder.TENSORBOARD, f"{len(ours)} points against {len(theirs)}")
    if len({point[:2] for point in ours}) != len(ours):
        return Difference(run_folder.TENSORBOARD, "a point stands in the event files twice")
    return first_difference(
        *(dict(_flat(_results(run), run_folder.SUMMARY)) for run in (one, other))
    )


def _position(state: Mapping[str, Any]) -> str:
    progress = state["progress"]
    return f"epoch {progress['epoch']}, step {progress['step']}"
