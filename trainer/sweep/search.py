"""A search: Optuna chooses the jobs one by one; its journal in the sweep's folder keeps them."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from trainer.sweep.jobs import Job, State
from trainer.sweep.search_options import SearchOptions
from trainer.sweep.space import drawn_from

JOURNAL = "optuna_journal.log"


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
        self._fixed, self._options = tuple(fixed), options
        self._study = opened(sweep, direction)
        self._space = {key: drawn_from(key, text)[0] for key, text in options.params.items()}
        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            if trial.params.keys() != self._space.keys():  # killed while it was drawn
                self._study.tell(trial.number, state=TrialState.FAIL)
        self.jobs = [self._job(trial) for trial in drawn(self._study, len(self._space))]
        self._before = list(self.jobs)

    @property
    def total(self) -> int:
        """How many jobs there are to be."""
        return max(len(self.jobs), self._options.n_trials)

    def take(self) -> Job | None:
        """The next one: first those of before, then new ones; None: there is none left."""
        if self._before:
            return self._before.pop(0)
        if len(self.jobs) >= self._options.n_trials:
            return None
        self._study.sampler = self._sampler(len(self._study.get_trials(deepcopy=False)))
        number = self._study.ask(self._space).number
        self.jobs.append(self._job(self._study.get_trials(deepcopy=False)[number]))
        return self.jobs[-1]

    def tell(self, job: Job, state: State) -> None:
        """Tells the study what a job came to, once; one that was stopped goes on another time."""
        if self._study.get_trials(deepcopy=False)[job.number].state.is_finished():
            return
        if state.status == "done" and state.value is not None:
            self._study.tell(job.number, state.value)
        elif state.status in ("done", "failed"):
            self._study.tell(job.number, state=TrialState.FAIL)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed, startup = self._options.seed + number, self._options.n_startup_trials
        if self._options.sampler == "random":
            return RandomSampler(seed=seed)
        # constant_liar: jobs that run count as bad, so that their neighbours are not tried as well
        return TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)

    def _job(self, trial: FrozenTrial) -> Job:
        own = overrides_of(trial)
        return Job(trial.number, own, str(trial.number), arguments=(*self._fixed, *own))


def drawn(study: optuna.Study, keys: int) -> list[FrozenTrial]:
    """The trials that have all their parameters."""
    return [trial for trial in study.get_trials(deepcopy=False) if len(trial.params) == keys]


def overrides_of(trial: FrozenTrial) -> list[str]:
    """What sets a trial's job apart."""
    return [f"{key}={value}" for key, value in trial.params.items()]


def opened(sweep: Path, direction: Any) -> optuna.Study:
    """The study in a sweep's folder; a new one if it has none.

    Raises:
        ValueError: If its journal cannot be read.
    """
    path = sweep / JOURNAL
    for logger in ("storages", "study", "trial"):
        logging.getLogger(f"optuna.{logger}").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        path.write_bytes(content[: content.rfind(b"\n") + 1])  # its writer was killed in a line
    try:
        storage = JournalStorage(JournalFileBackend(str(path)))
        return optuna.create_study(
            storage=storage, study_name="search", direction=direction, load_if_exists=True
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: cannot be read as Optuna's journal: {error}") from error


def found_jobs(sweep: Path, direction: str, keys: int) -> list[Job]:
    """The jobs that a search over so many keys has chosen so far, by its journal.

    Raises:
        ValueError: If its journal cannot be read.
    """
    if not (sweep / JOURNAL).exists():
        return []
    trials = drawn(opened(sweep, direction), keys)
    return [Job(trial.number, overrides_of(trial), str(trial.number)) for trial in trials]
