"""One run as its folder tells it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.options.keys import flat
from trainer.report.lr_curves import Curve, read_curve
from trainer.report.measure import ACCURACY, Measure
from trainer.storage import records, run_folder
from trainer.storage.records import is_number, plain

Row = dict[str, float]
STATUSES = ("done", "running", "stopped", "failed")


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
        rows: A row per evaluated epoch, as in metrics.jsonl.
        split: What was evaluated, `test` or `val`.
        measure: What it is compared by.
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
    rows: list[Row] = field(default_factory=list[Row])
    split: str = "test"
    measure: Measure = ACCURACY
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
        return f"{self.split}/{self.measure.name}"

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
        sign = 1 if self.measure.higher else -1
        return max(self.evaluated, key=lambda row: sign * row[self.metric], default=None)

    @property
    def best(self) -> float | None:
        """The best value of any epoch."""
        row = self.best_row
        return None if row is None else row[self.metric]

    @property
    def train(self) -> float | None:
        """The same over the training of the last epoch."""
        return self._last(f"train/{self.measure.name}")

    @property
    def gap(self) -> float | None:
        """How much better training looks than the evaluation, after the last epoch."""
        if self.train is None or self.final is None:
            return None
        return self.measure.better_by(self.train, self.final)

    @property
    def test_last(self) -> float | None:
        """The value on the test set, last weights, where that was kept for the end."""
        return self.tested["last"].get(self.measure.name)

    @property
    def test_best(self) -> float | None:
        """The same with the best weights."""
        return self.tested["best"].get(self.measure.name)

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
        seconds: float | None = 0.0
        for row in self.rows:
            seconds = seconds + row["seconds"] if seconds is not None and "seconds" in row else None
            if self.metric in row and self.measure.better_by(row[self.metric], target) >= 0:
                return int(row["step"]), seconds
        return None

    def _last(self, key: str) -> float | None:
        return self.evaluated[-1].get(key) if self.evaluated else None


def read_run(folder: Path, place: str) -> Run:
    """Reads what there is in a run folder.

    Args:
        folder: The run folder.
        place: What to call it.
    """
    notes: list[str] = []
    summary = run_folder.summary(folder, notes)
    config = records.read_yaml(folder / run_folder.CONFIG, notes)
    rows = _rows(folder, summary, notes)
    run = Run(folder=folder, place=place, rows=rows, notes=notes)
    run.settings = _settings(config, summary)
    name = config.get("name", summary.get("name"))
    run.name = plain(name) if name else None
    run.overrides = records.read_overrides(folder / run_folder.HYDRA / "overrides.yaml")
    val = any(key.startswith("val/") for row in rows for key in row) or bool(
        run.settings.get("data.val_size")
    )
    run.split = "val" if val else "test"
    run.error = plain(summary["error"]) if summary.get("error") else None
    run.error = run.error or records.last_error(folder / run_folder.LOG)
    run.status = _status(folder, summary, run)
    run.seconds = records.numbers(summary).get("seconds")
    if run.status != "done" and rows and all("seconds" in row for row in rows):
        run.seconds = sum(row["seconds"] for row in rows)  # the summary is as old as the start
    run.tested = {w: records.numbers(summary.get(f"test_{w}")) for w in ("last", "best")}
    run.lr = read_curve(folder / run_folder.LR)
    run.made_with = _made_with(summary)
    run.changed = _changed(folder)
    return run


def _rows(folder: Path, summary: Mapping[str, Any], notes: list[str]) -> list[Row]:
    rows = run_folder.rows(folder, notes)
    last = records.numbers(summary.get("last"))
    if "epoch" in last and "step" in last and last["epoch"] > (rows[-1]["epoch"] if rows else 0):
        notes.append(f"{run_folder.METRICS} lacks the last epoch: taken from {run_folder.SUMMARY}")
        rows.append(last)
    return rows


def _settings(config: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    if config:
        return {plain(key): value for key, value in flat(config).items()}
    fingerprint = summary.get("fingerprint")
    settings = (
        {plain(k): v for k, v in fingerprint.items()} if isinstance(fingerprint, Mapping) else {}
    )
    if settings and summary.get("status") == "done" and is_number(summary.get("epochs")):
        settings["epochs"] = summary["epochs"]  # no part of the fingerprint: a resume may change it
    return settings


def _status(folder: Path, summary: Mapping[str, Any], run: Run) -> str:
    status = summary.get("status")
    if status in STATUSES:
        return str(status)
    if not summary and not run.rows and not run_folder.all_checkpoints(folder):
        run.error = run.error or "left no result and no error: refused, killed, or just starting"
        return "failed"
    return "unknown"


def _made_with(summary: Mapping[str, Any]) -> dict[str, str]:
    versions, data = summary.get("versions"), summary.get("data")
    versions = versions if isinstance(versions, Mapping) else {}
    data = data if isinstance(data, Mapping) else {}
    known = {
        "device": summary.get("device"),
        "precision": summary.get("precision"),
        "torch": versions.get("torch"),
        "torchvision": versions.get("torchvision"),
        "python": versions.get("python"),
        "trainer": versions.get("trainer"),
        "data": data.get("sha256"),
        "commit": summary.get("git"),
    }
    return {key: plain(value) for key, value in known.items() if value}


def _changed(folder: Path) -> float | None:
    times: list[float] = []
    for name in (run_folder.LOG, run_folder.METRICS, run_folder.SUMMARY, run_folder.LR):
        try:
            times.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)
