"""Which checkpoint a path means: a file, the best or last of a run, the best run of a sweep."""

from dataclasses import dataclass
from pathlib import Path

from trainer.storage import run_folder
from trainer.sweep import job_ledger
from trainer.sweep.job_ledger import Job

CHECKPOINTS = "checkpoints"
WEIGHTS = ("best", "last")


@dataclass(frozen=True, slots=True)
class Place:
    """A checkpoint that has not been read yet.

    Attributes:
        file: The file; None: the newest whole commit of the run.
        folder: The run's folder; None: the file lies outside of one.
        weights: `best`, `last`, or `given` for a file that was named.
        notes: What was decided on the way.
    """

    file: Path | None
    folder: Path | None
    weights: str
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The weights in a name: `best`, `last`, `step_00000012`."""
        return self.weights if self.file is None else self.file.stem

    def result_folder(self, name: str, out: Path | None) -> Path:
        """Where a command writes: the folder that was asked for, else one in the run's.

        Raises:
            ValueError: If neither is there.
        """
        if out is not None:
            return out
        if self.folder is None:
            raise ValueError(f"{self.file}: lies in no run folder; --out FOLDER says where to")
        return self.folder / name


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
        inside = path.absolute().parent.name == CHECKPOINTS
        return Place(path, path.absolute().parent.parent if inside else None, "given")
    if not path.exists():
        raise ValueError(f"{path}: there is no such run folder, checkpoint or sweep")
    ledger = job_ledger.read(path)
    if ledger is not None:
        job, note = _best_job(path, ledger.jobs)
        return _of_run(path / (job.folder or str(job.number)), weights, (note,))
    folder = path.absolute().parent if path.name == CHECKPOINTS else path
    return _of_run(folder, weights, ())


def _of_run(folder: Path, weights: str | None, notes: tuple[str, ...]) -> Place:
    best = folder / CHECKPOINTS / "best.pt"
    if not best.exists() and next((folder / CHECKPOINTS).glob("*.pt"), None) is None:
        runs = sorted(file.parent.parent for file in folder.glob(f"*/{CHECKPOINTS}/last.pt"))
        inner = f"; it holds runs: name one, such as {runs[0]}" if runs else ""
        raise ValueError(f"{folder}: is not a run folder: it holds no {CHECKPOINTS}/*.pt{inner}")
    if weights != "last" and best.exists():
        return Place(best, folder, "best", notes)
    if weights == "best":
        raise ValueError(f"--weights best: {folder} holds no best.pt: nothing was evaluated yet")
    if weights is None:
        notes = (*notes, "nothing was evaluated yet: these are the newest weights")
    return Place(None, folder, "last", notes)


def _best_job(sweep: Path, jobs: list[Job]) -> tuple[Job, str]:
    """The finished job with the best value of the metric that all of them were monitored by."""
    done = [job for job in jobs if job.status == "done" and job.value is not None]
    if not done:
        raise ValueError(
            f"{sweep}: none of the sweep's {len(jobs)} jobs is done; name a run folder"
        )
    metrics = {run_folder.monitored(sweep / (job.folder or str(job.number))) for job in done}
    if len(metrics) > 1:
        different = " and ".join(sorted(str(metric) for metric in metrics))
        raise ValueError(f"{sweep}: its runs were chosen by {different}; name a run folder")
    metric = metrics.pop() or "?"
    sign = 1 if metric.endswith("accuracy") else -1
    best = max(done, key=lambda job: sign * (job.value or 0.0))
    overrides = " ".join(best.overrides)
    return best, (
        f"best of {len(done)} done jobs by {metric}: job {best.number}"
        f"{f' ({overrides})' if overrides else ''}, {_shown(metric, best.value or 0.0)}"
        + (f"; {len(jobs) - len(done)} more are not done" if len(done) < len(jobs) else "")
    )


def _shown(metric: str, value: float) -> str:
    return f"{value:.2%}" if metric.endswith("accuracy") else f"{value:.4f}"
