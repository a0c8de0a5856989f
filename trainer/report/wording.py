"""How numbers are written for a reader."""

from trainer.report.measure import NONE


def p_value(value: float | None) -> str:
    """Two digits; very small ones as a bound."""
    if value is None:
        return NONE
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def duration(seconds: float | None) -> str:
    """`42 s`, `26:33` (minutes), `1:02:03` (hours)."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def listed(words: list[str], most: int = 6) -> str:
    """`a, b and c`; only some of very many."""
    if len(words) > most:
        return f"{', '.join(words[: most - 1])} and {len(words) - most + 1} others"
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def joined_range(numbers: list[float]) -> str:
    """`30`, or `30 to 40`."""
    low, high = f"{min(numbers):,.0f}", f"{max(numbers):,.0f}"
    return low if low == high else f"{low} to {high}"
