"""Runs that differ in their seed only: a group, what it comes to, and what to call it."""

import json
from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from trainer.config.sameness import circumstances
from trainer.report.runs import Run
from trainer.report.statistics import Estimate, estimate
from trainer.storage.records import plain

# The seed, over which a group is averaged, and what a run found rather than was asked for.
NOT_ASKED = {"seed", "data.sha256", "precision", "processes"}
# Groups whose option decides which keys there are.
OPTIONS = ("data", "model", "optimizer", "scheduler")
LONGEST = 40  # characters of a label
Metric = Callable[[Run], float | None]


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one configuration.

    Attributes:
        label: What sets it apart from the others.
        runs: All of them.
        settings: What it does not share with all others, `key=value`.
        split: What is evaluated, `test` or `val`.
    """

    label: str
    runs: list[Run]
    settings: list[str]
    split: str

    @property
    def finished(self) -> list[Run]:
        """The runs that count."""
        return [run for run in self.runs if run.finished]

    @property
    def seeds(self) -> int:
        """Seeds with a finished run."""
        return len(self.by_seed(lambda run: run.final))

    def by_seed(self, metric: Metric) -> dict[int | str, float]:
        """One value per seed; repeated runs of a seed are one, their mean.

        Repeats share initial weights and order: counted apart they would make the spread look
        smaller than it is.
        """
        values: dict[int | str, list[float]] = defaultdict(list)
        for run in self.finished:
            if (value := metric(run)) is not None:
                values[run.seed].append(value)
        return {seed: fmean(found) for seed, found in values.items()}

    def estimate(self, metric: Metric) -> Estimate | None:
        """Mean and spread over the seeds; None if none of them has a value."""
        values = list(self.by_seed(metric).values())
        return estimate(values) if values else None

    @property
    def final(self) -> Estimate | None:
        """The value after the last epoch, over the seeds."""
        return self.estimate(lambda run: run.final)

    @property
    def best(self) -> Estimate | None:
        """The best value of any epoch, over the seeds."""
        return self.estimate(lambda run: run.best)

    @property
    def train(self) -> Estimate | None:
        """The value over the training of the last epoch, over the seeds."""
        return self.estimate(lambda run: run.train)

    @property
    def gap(self) -> Estimate | None:
        """How much better training looks than the evaluation, over the seeds."""
        return self.estimate(lambda run: run.gap)

    @property
    def lengths(self) -> set[tuple[int, int]]:
        """Epochs and steps of its finished runs."""
        return {(run.epochs, run.updates) for run in self.finished}

    @property
    def repeated(self) -> int:
        """Finished runs beyond the first of each seed."""
        return len(self.finished) - self.seeds


def divide(runs: Sequence[Run]) -> tuple[list[Group], list[str], list[str]]:
    """Groups runs whose configurations differ in nothing but seed and circumstances.

    Args:
        runs: Those with a configuration.

    Returns:
        The groups in order of appearance, the settings that all runs share, `key=value`, and what
        had to be assumed.
    """
    left_out = circumstances() | NOT_ASKED
    tables, notes = _completed([_compared(run.settings, left_out) for run in runs])
    members: dict[tuple[tuple[str, str], ...], list[Run]] = defaultdict(list)
    for run, table in zip(runs, tables, strict=True):
        members[tuple(table.items())].append(run)
    chosen = [dict(key) for key in members]
    first = chosen[0] if chosen else {}
    shared = {k: v for k, v in first.items() if all(table.get(k) == v for table in chosen)}
    labels = _labels(list(members.values()), chosen)
    groups = [
        Group(label, own, [f"{k}={v}" for k, v in table.items() if k not in shared], own[0].split)
        for label, own, table in zip(labels, members.values(), chosen, strict=True)
    ]
    return groups, [f"{key}={value}" for key, value in shared.items()], notes


def _compared(settings: Mapping[str, Any], left_out: Container[str]) -> dict[str, str]:
    return {key: written(value) for key, value in settings.items() if key not in left_out}


def written(value: object) -> str:
    """A value as one would type it: `0.04`, `[10,20]`, `null`."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)  # `5` and `5.0` are the same length
    try:
        return plain(json.dumps(value, separators=(",", ":"), sort_keys=True, default=str))
    except (ValueError, TypeError, RecursionError):
        return plain(value)


def chain(settings: Mapping[str, str], group: str) -> str:
    """The option that a group of keys belongs to: `vgg`, or `warmup_cosine` for one in another."""
    names: list[str] = []
    prefix = f"{group}."
    while (name := settings.get(f"{prefix}name")) is not None:
        names.append(name)
        prefix += "after."
    return "_".join(names)


def _scope(key: str) -> str:
    group = key.partition(".")[0]
    return group if group in OPTIONS else ""


def _completed(tables: list[dict[str, str]]) -> tuple[list[dict[str, str]], list[str]]:
    """Gives runs of an older version the keys that it did not have, where all others agree.

    Within an option only: that `steplr` has no `warmup` is no gap.
    """
    values: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for table in tables:
        for key, value in table.items():
            values[_scope(key), chain(table, _scope(key)), key].add(value)
    assumed: set[str] = set()
    for table in tables:
        chains = {scope: chain(table, scope) for scope in ("", *OPTIONS)}
        for (scope, option, key), found in values.items():
            if option == chains[scope] and len(found) == 1 and key not in table:
                assumed.add(key)
                table[key] = next(iter(found))
    order = {key: n for n, key in enumerate(dict.fromkeys(k for t in tables for k in t))}
    ordered = [dict(sorted(t.items(), key=lambda item: order[item[0]])) for t in tables]
    keys = ", ".join(sorted(assumed))
    return ordered, [f"not every run names {keys}: taken to be the same"] if assumed else []


def _labels(members: Sequence[Sequence[Run]], tables: Sequence[Mapping[str, str]]) -> list[str]:
    """What differs about each group: its name, or its options and parameters."""
    names = [{run.name for run in runs} for runs in members]
    distinct = {next(iter(found)) for found in names if len(found) == 1}
    if len(distinct) == len(members) and None not in distinct:
        return [str(next(iter(found))) for found in names]
    several = {group for group in OPTIONS if len({chain(t, group) for t in tables}) > 1}
    if len(tables) == 1:
        several = {"scheduler"}
    labels: list[str] = []
    for table in tables:
        keys = [key for key in table if not _is_name(key) and _differs(key, table, tables)]
        own = [key.rpartition(".")[2] for key in keys]
        parts = [chain(table, group) for group in OPTIONS if group in several]
        parts += [
            f"{key if own.count(last) > 1 else last}={_three_digits(table[key])}"
            for key, last in zip(keys, own, strict=True)
        ]
        labels.append(" ".join(part for part in parts if part))
    return [label or f"group {n}" for n, label in enumerate(labels, 1)]


def shortened(labels: Sequence[str]) -> list[str]:
    """Labels of at most 40 characters, no two alike: those that would be get a number."""
    short = [label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…" for label in labels]
    return [
        f"{label[: LONGEST - 5]} #{short[: n + 1].count(label)}"
        if short.count(label) > 1
        else label
        for n, label in enumerate(short)
    ]


def _three_digits(value: str) -> str:
    """`0.0123` for `0.01234567`; what is no fraction stays as it is."""
    try:
        return value if float(value).is_integer() else f"{float(value):.3g}"
    except (ValueError, OverflowError):
        return value


def _is_name(key: str) -> bool:
    return key.partition(".")[0] in OPTIONS and key.endswith(".name")


def _differs(key: str, table: Mapping[str, str], tables: Sequence[Mapping[str, str]]) -> bool:
    """Whether a key's value differs among the groups that use the same option."""
    group = _scope(key)
    alike = [t for t in tables if not group or chain(t, group) == chain(table, group)]
    return len({t.get(key) for t in alike}) > 1
