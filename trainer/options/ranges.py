"""Ranges of values: one line with key, value and what is allowed."""

import math


def require(ok: bool, key: str, value: object, what: str) -> None:
    """Raises ValueError with key, value and what is allowed, unless `ok`."""
    if not ok:
        raise ValueError(f"{key}={value}: must be {what}")


def require_lr(key: str, value: float) -> None:
    """Raises ValueError unless `value` is a finite LR, 0 included."""
    require(math.isfinite(value) and value >= 0, key, value, "a finite number, at least 0")
