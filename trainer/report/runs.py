"""A run, and what its numbers come to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.storage.records import is_number

Row = dict[str, float]
Curve = tuple[list[int], list[float]]


@dataclass(slots=True, kw_only=True)
class Run:
    """What is known of a run; everything but the folder may be missing.

    Attributes:
        folder: Its folder.
        place: What to call the folder.
        status: `done`, `running`, `stopped`, `failed`, or `unknown`.
        name: The name that the user gave it.
        settings: Its configuration, flat; the fingerprint's where config.yaml is missing.
        overrides: What was typed, where Hydra wrote it down.
        command: The command that made it; empty where it is not known.
        trial: Its number in a search; None: it is part of none.
        rows: A row per evaluated epoch, as in metrics.jsonl, and in `elapsed` the seconds so far.
        split: What was evaluated, `test` or `val`.
        measure: What it is compared by, `accuracy` or `loss`.
        error: Why it failed.
        seconds: Time spent on it.
        tested: Metrics on the test set, where that was kept for the end, by weights: `last` and
            `best`.
        lr: Steps and LRs of lr.csv, thinned out.
        made_with: Device, precision, versions, data and commit, as far as known.
        changed: When a file of it last changed, seconds since 1970.
        notes: What is odd about its files.
    """

    folder: Path
    place: str
    status: str = "unknown"
    name: str | None = None
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    overrides: list[str] = field(default_factory=list[str])
    command: str = ""
    trial: int | None = None
    rows: list[Row] = field(default_factory=list[Row])
    split: str = "test"
    measure: str = "accuracy"
    error: str | None = None
    seconds: float | None = None
    tested: dict[str, dict[str, float]] = field(default_factory=lambda: {"last": {}, "best": {}})
    lr: Curve | None = None
    made_with: dict[str, str] = field(default_factory=dict[str, str])
    changed: float | None = None
    notes: list[str] = field(default_factory=list[str])

    @property
    def finished(self) -> bool:
        """Whether it came to its end and was evaluated there."""
        return self.status == "done" and self.final is not None

    @property
    def seed(self) -> int | str:
        """Its seed; the folder where it is not known, so that nothing is paired with it."""
        seed = self.settings.get("seed")
        return seed if isinstance(seed, int) else f"? ({self.place})"

    @property
    def metric(self) -> str:
        """The metric that it is compared by, such as `test/accuracy`."""
        return f"{self.split}/{self.measure}"

    @property
    def evaluated(self) -> list[Row]:
        """The rows with that metric."""
        return [row for row in self.rows if self.metric in row]

    @property
    def final(self) -> float | None:
        """Its value after the last epoch."""
        return self._last(self.metric)

    @property
    def best_row(self) -> Row | None:
        """The first row with the best value."""
        return max(self.evaluated, key=lambda row: self._sign * row[self.metric], default=None)

    @property
    def best(self) -> float | None:
        """The best value of any epoch."""
        row = self.best_row
        return None if row is None else row[self.metric]

    @property
    def train(self) -> float | None:
        """The same over the training of the last epoch."""
        return self._last(f"train/{self.measure}")

    @property
    def gap(self) -> float | None:
        """How much better training looks than the evaluation, after the last epoch."""
        if self.train is None or self.final is None:
            return None
        return self._sign * (self.train - self.final)

    @property
    def test_last(self) -> float | None:
        """The value on the test set, last weights, where that was kept for the end."""
        return self.tested["last"].get(self.measure)

    @property
    def test_best(self) -> float | None:
        """The same with the best weights."""
        return self.tested["best"].get(self.measure)

    @property
    def epochs(self) -> int:
        """Epochs completed and evaluated."""
        return int(self.rows[-1]["epoch"]) if self.rows else 0

    @property
    def updates(self) -> int:
        """Steps in those."""
        return int(self.rows[-1]["step"]) if self.rows else 0

    @property
    def planned(self) -> int | None:
        """Epochs that it was to have."""
        epochs: Any = self.settings.get("epochs")
        return int(epochs) if is_number(epochs) else None

    def reached(self, target: float) -> tuple[int, float | None] | None:
        """Steps and seconds at the first evaluation as good as a target; None: never."""
        for row in self.evaluated:
            if self._sign * (row[self.metric] - target) >= 0:
                return int(row["step"]), row.get("elapsed")
        return None

    @property
    def _sign(self) -> int:
        """1 where more of what it is compared by is better, -1 where less is."""
        return -1 if self.measure == "loss" else 1

    def _last(self, key: str) -> float | None:
        return self.evaluated[-1].get(key) if self.evaluated else None
