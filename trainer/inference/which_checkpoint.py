"""Which checkpoint a path means: a file, the best or last of a run, the best run of a sweep."""

from dataclasses import dataclass
from pathlib import Path

from trainer.cli.words import percent
from trainer.storage import records, run_folder

WEIGHTS = ("best", "last")


@dataclass(frozen=True, slots=True)
class Place:
    """A checkpoint that has not been read yet.

    Attributes:
        path: The file, or the run folder whose newest whole checkpoint is meant.
        folder: The run's folder; None: the file lies outside of one.
        weights: `best`, `last`, or `given` for a file that was named.
        notes: What was decided on the way.
    """

    path: Path
    folder: Path | None
    weights: str
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The weights in a name: `best`, `last`, `step_00000012`."""
        return self.path.stem if self.weights == "given" else self.weights

    def result_folder(self, name: str, out: Path | None) -> Path | None:
        """Where a command writes: to `out`, else into the run folder; None: there is neither."""
        inside = None if self.folder is None else self.folder / name
        return out or inside


def resolve(path: Path, weights: str | None) -> Place:
    """What a path stands for.

    Args:
        path: A run folder, a checkpoint or a sweep's folder.
        weights: `best`, `last`; None: the best where there are some.

    Raises:
        ValueError: If it is none of these.
    """
    if path.is_file():
        if weights is not None:
            raise ValueError(f"--weights {weights}: is for a run folder; {path} is a checkpoint")
        return Place(path, run_folder.run_of(path), "given")
    if not path.exists():
        raise ValueError(f"{path}: there is no such run folder, checkpoint or sweep")
    if (path / run_folder.SWEEP).exists():
        folder, note = _best_job(path)
        return _of_run(folder, weights, (note,))
    return _of_run(run_folder.run_of(path / "any") or path, weights, ())


def _of_run(folder: Path, weights: str | None, notes: tuple[str, ...]) -> Place:
    best = run_folder.best_file(folder)
    if not run_folder.all_checkpoints(folder):
        runs = sorted(f for f in folder.glob("*/") if run_folder.last_file(f).exists())
        inner = f"; it holds runs: name one, such as {runs[0]}" if runs else ""
        raise ValueError(
            f"{folder}: is not a run folder: it holds no {run_folder.CHECKPOINTS}/*.pt{inner}"
        )
    if weights != "last" and best.exists():
        return Place(best, folder, "best", notes)
    if weights == "best":
        raise ValueError(f"--weights best: {folder} holds no best.pt: nothing was evaluated yet")
    if weights is None:
        notes = (*notes, "nothing was evaluated yet: these are the newest weights")
    return Place(folder, folder, "last", notes)


def _best_job(sweep: Path) -> tuple[Path, str]:
    """The finished run of a sweep with the best value of the metric that all were chosen by."""
    folders = sorted(file.parent for file in sweep.rglob(run_folder.SUMMARY))
    summaries = {folder: run_folder.summary(folder) for folder in folders}
    best = {
        folder: values["best"]
        for folder, values in summaries.items()
        if values.get("status") == "done" and isinstance(values.get("best"), dict)
    }
    if not best:
        raise ValueError(
            f"{sweep}: none of the sweep's {len(summaries)} runs is done; name a run folder"
        )
    metrics = sorted({str(row.get("monitor")) for row in best.values()})
    if len(metrics) > 1:
        raise ValueError(
            f"{sweep}: its runs were chosen by {' and '.join(metrics)}; name a run folder"
        )
    (metric,) = metrics
    is_share = metric.endswith("accuracy")
    sign = 1 if is_share else -1
    values = {f: records.numbers(row).get(metric, -sign * 1e300) for f, row in best.items()}
    folder = max(values, key=lambda each: sign * values[each])
    value = percent(values[folder]) if is_share else f"{values[folder]:.4f}"
    note = f"best of {len(best)} finished runs by {metric}: job {folder.name}, {value}"
    if missing := len(summaries) - len(best):
        note += f"; {missing} more {'is' if missing == 1 else 'are'} not done"
    return folder, note
