"""A search: Optuna chooses the jobs one by one; its journal in the sweep's folder keeps them."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.sweep.jobs import Job, State
from trainer.sweep.search_options import SearchOptions
from trainer.sweep.space import distribution

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial

JOURNAL = "optuna_journal.log"
STUDY = "search"


class Search:
    """The jobs of a search.

    What a job comes to is told to the study at once, so that a search that was killed goes on with
    the same command: jobs that ran then are taken again, and each new one is drawn by a generator
    of its own, from the seed and its number, so that it is the one it would have been.

    Args:
        sweep: The sweep's folder.
        fixed: The overrides that all jobs share.
        options: What was asked for.
        direction: `maximize` or `minimize`.
    """

    def __init__(
        self, sweep: Path, fixed: Sequence[str], options: SearchOptions, direction: str
    ) -> None:
        self.fixed = tuple(fixed)
        self.options = options
        self._study = opened(sweep, direction)
        self._space = {key: distribution(key, text) for key, text in options.params.items()}
        for trial in self._trials():
            if not trial.state.is_finished() and not self._is_whole(trial):
                self._study.tell(trial.number, state=_failed())  # killed while it was drawn
        self._before = [self._job(trial) for trial in self._trials() if self._is_whole(trial)]
        self._jobs = list(self._before)

    @property
    def total(self) -> int:
        """How many jobs there are to be."""
        return max(len(self._jobs), self.options.n_trials)

    def jobs(self) -> Sequence[Job]:
        """Those that were chosen so far."""
        return self._jobs

    def take(self) -> Job | None:
        """The next one: first those of before, then new ones."""
        if self._before:
            return self._before.pop(0)
        if len(self._jobs) >= self.options.n_trials:
            return None
        self._study.sampler = self._sampler(len(self._trials()))
        trial = self._study.ask(self._space)
        self._jobs.append(self._job(self._trials()[trial.number]))
        return self._jobs[-1]

    def tell(self, job: Job, state: State) -> None:
        """Tells the study what a job came to, once; one that was stopped goes on another time."""
        if self._trials()[job.number].state.is_finished():
            return
        if state.status == "done" and state.value is not None:
            self._study.tell(job.number, state.value)
        elif state.status in ("done", "failed"):
            self._study.tell(job.number, state=_failed())

    def _sampler(self, number: int) -> "BaseSampler":
        from optuna.samplers import RandomSampler, TPESampler

        seed = self.options.seed + number
        if self.options.sampler == "random":
            return RandomSampler(seed=seed)
        # constant_liar: jobs that run count as bad, so that their neighbours are not tried as well
        return TPESampler(
            seed=seed, n_startup_trials=self.options.n_startup_trials, constant_liar=True
        )

    def _job(self, trial: "FrozenTrial") -> Job:
        overrides = overrides_of(trial.params)
        arguments = (*self.fixed, *overrides)
        return Job(trial.number, overrides, str(trial.number), arguments=arguments)

    def _is_whole(self, trial: "FrozenTrial") -> bool:
        return trial.params.keys() == self._space.keys()

    def _trials(self) -> "list[FrozenTrial]":
        return self._study.get_trials(deepcopy=False)


def opened(sweep: Path, direction: Any) -> "Study":
    """The study in a sweep's folder; a new one if it has none.

    Raises:
        ValueError: If Optuna is not installed, or cannot read its journal.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = sweep / JOURNAL
    for logger in ("storages", "study", "trial"):
        logging.getLogger(f"optuna.{logger}").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    _mend(path)
    try:
        storage = JournalStorage(JournalFileBackend(str(path)))
        return optuna.create_study(
            storage=storage, study_name=STUDY, direction=direction, load_if_exists=True
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: cannot be read as Optuna's journal: {error}") from error


def found_jobs(sweep: Path, direction: str) -> list[Job]:
    """The jobs that a search has chosen so far, by its journal.

    Raises:
        ValueError: If Optuna is not installed, or cannot read its journal.
    """
    if not (sweep / JOURNAL).exists():
        return []
    trials = opened(sweep, direction).get_trials(deepcopy=False)
    return [Job(t.number, overrides_of(t.params), str(t.number)) for t in trials if t.params]


def overrides_of(params: Mapping[str, Any]) -> list[str]:
    """A trial as overrides; a choice is a text as Hydra's grammar writes it."""
    return [f"{key}={value}" for key, value in params.items()]


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL


def _mend(path: Path) -> None:
    """Cuts off a last line that was only begun when its writer was killed."""
    if path.exists():
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            path.write_bytes(content[: content.rfind(b"\n") + 1])
