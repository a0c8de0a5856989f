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


# What other libraries call it.
ELSEWHERE = {
    "constantlr": "constant", "multisteplr": "multistep", "exponentiallr": "exponential",
    "cosineannealinglr": "cosine", "cosineannealingwarmrestarts": "cosine_restarts",
    "linearlr": "linear", "polynomiallr": "polynomial", "onecyclelr": "onecycle",
    "cycliclr": "cyclic", "reducelronplateau": "plateau", "reduce_on_plateau": "plateau",
    "reduce_lr_on_plateau": "plateau", "lambdalr": "formula", "sequentiallr": "phases",
    "chainedscheduler": "phases", "t_max": "length", "total_iters": "length",
    "num_warmup_steps": "warmup", "max_lr": "lr", "learning_rate": "lr", "max_epochs": "epochs",
    "num_epochs": "epochs", "wd": "weight_decay",
}  # fmt: skip


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that was meant, whatever its case; None: no idea.

    Args:
        name: As it was typed; for a key with dots its last part counts most.
        known: Names or keys.
    """
    plain = {key.lower(): key for key in reversed(known)}
    tails = {key.lower().rpartition(".")[2]: key for key in reversed(known)}
    lower = name.lower()
    head, dot, tail = lower.rpartition(".")
    meant = f"{head}{dot}{ELSEWHERE.get(tail, tail.removesuffix('lr') or tail)}"
    for candidate in (lower, f"{head}{dot}{ELSEWHERE.get(tail, tail)}", meant):
        if candidate in plain:
            return plain[candidate]
    if tail in ELSEWHERE and ELSEWHERE[tail] in tails:
        return tails[ELSEWHERE[tail]]
    if found := difflib.get_close_matches(lower, list(plain), n=1, cutoff=0.6):
        return plain[found[0]]
    found = difflib.get_close_matches(tail, list(tails), n=1, cutoff=0.6)
    return tails[found[0]] if found else None


def near(name: str, known: Sequence[str]) -> str:
    """`; did you mean ...?`, or nothing."""
    found = nearest(name, known)
    return f"; did you mean {found}?" if found else ""
