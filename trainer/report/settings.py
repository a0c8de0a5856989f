"""What differs between runs, and what to call each of the groups that they fall into."""

import json
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.config.sameness import circumstances
from trainer.report.runs import Run
from trainer.storage.records import plain

# The seed, over which a group is averaged, and what a run found rather than was asked for.
NOT_ASKED = {"seed", "data.sha256", "precision", "processes"}
# Groups whose option decides which keys there are.
OPTIONS = ("data", "model", "optimizer", "scheduler")
Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Division:
    """Runs with a configuration, divided by what differs.

    Attributes:
        members: The runs of each group, in order of appearance.
        labels: What to call each group.
        settings: What sets each group's runs apart, `key=value`, more than the label needs.
        common: What all runs share, `key=value`.
        notes: What had to be assumed.
    """

    members: list[list[Run]]
    labels: list[str]
    settings: list[list[str]]
    common: list[str]
    notes: list[str]


def divide(runs: Sequence[Run]) -> Division:
    """Groups runs whose configurations differ in nothing but seed and circumstances.

    Args:
        runs: Those with a configuration, at least one.
    """
    left_out = circumstances() | NOT_ASKED
    tables, notes = _completed([_compared(run.settings, left_out) for run in runs])
    groups: dict[Key, list[Run]] = defaultdict(list)
    table_of: dict[Key, dict[str, str]] = {}
    for run, table in zip(runs, tables, strict=True):
        key = tuple(sorted(table.items()))
        groups[key].append(run)
        table_of[key] = table
    chosen = list(table_of.values())
    shared = {k: v for k, v in chosen[0].items() if all(t.get(k) == v for t in chosen)}
    return Division(
        members=list(groups.values()),
        labels=_labels(list(groups.values()), chosen),
        settings=[[f"{k}={v}" for k, v in t.items() if k not in shared] for t in chosen],
        common=[f"{k}={v}" for k, v in shared.items()],
        notes=notes,
    )


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
    """A short label for each group, no two alike."""
    names = [{run.name for run in runs} for runs in members]
    distinct = {next(iter(found)) for found in names if len(found) == 1}
    if len(distinct) == len(members) and None not in distinct:
        return [str(next(iter(found))) for found in names]
    several = {group for group in OPTIONS if len({chain(t, group) for t in tables}) > 1}
    if len(tables) == 1:
        several = {"scheduler"}
    labels: list[str] = []
    for table in tables:
        parts: list[str] = []
        for scope in ("", *OPTIONS):
            parts += [chain(table, scope)] if scope in several else []
            parts += [
                f"{key}={value}"
                for key, value in table.items()
                if _scope(key) == scope and not _is_name(key) and _differs(key, table, tables)
            ]
        labels.append(" ".join(part for part in parts if part))
    return [label or f"group {n}" for n, label in enumerate(labels, 1)]


def _is_name(key: str) -> bool:
    return key.partition(".")[0] in OPTIONS and key.endswith(".name")


def _differs(key: str, table: Mapping[str, str], tables: Sequence[Mapping[str, str]]) -> bool:
    """Whether a key's value differs among the groups that use the same option."""
    group = _scope(key)
    alike = [t for t in tables if not group or chain(t, group) == chain(table, group)]
    return len({t.get(key) for t in alike}) > 1
