"""Keys of a configuration, flat as a user writes them, and the nearest one to a misspelt one."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"data": {"root": 1}}` as `{"data.root": 1}`; lists stay values."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def near(name: str, known: Sequence[str]) -> str:
    """`; did you mean ...?`, or nothing."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not found:  # the last part alone: `gama` for `scheduler.gamma`
        tails = {k.rpartition(".")[2]: k for k in known}
        last = difflib.get_close_matches(name.rpartition(".")[2], list(tails), n=1, cutoff=0.6)
        found = [tails[tail] for tail in last]
    return f"; did you mean {found[0]}?" if found else ""
