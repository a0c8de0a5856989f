"""How numbers are written for a reader."""

from trainer.report.statistics import Estimate, PairedDifference

NONE = "\N{EN DASH}"


def percent(value: float | None) -> str:
    """An accuracy: `87.38 %`."""
    return NONE if value is None else f"{100 * value:.2f} %"


def points(value: float | None, *, sign: bool = False) -> str:
    """A difference of accuracies in percentage points: `0.43`; with a true minus."""
    if value is None:
        return NONE
    text = f"{100 * value:+.2f}" if sign else f"{100 * value:.2f}"
    return text.replace("-", "\N{MINUS SIGN}")


def mean_and_sd(value: Estimate | None) -> str:
    """`87.38 ± 0.21 %`; without a spread for one seed."""
    if value is None or value.sd is None:
        return percent(value and value.mean)
    return f"{100 * value.mean:.2f} ± {100 * value.sd:.2f} %"


def interval(value: Estimate | PairedDifference | None, *, sign: bool = False) -> str:
    """`86.90 to 87.86`, in percent or points."""
    if value is None or value.half_width is None:
        return NONE
    low, high = value.mean - value.half_width, value.mean + value.half_width
    return f"{points(low, sign=sign)} to {points(high, sign=sign)}"


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


def count(number: int, what: str, plural: str = "") -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def listed(words: list[str], most: int = 6) -> str:
    """`a, b and c`; only some of very many."""
    if len(words) > most:
        return f"{', '.join(words[: most - 1])} and {len(words) - most + 1} others"
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def joined_range(numbers: list[float]) -> str:
    """`30`, or `30 to 40`."""
    low, high = f"{min(numbers):,.0f}", f"{max(numbers):,.0f}"
    return low if low == high else f"{low} to {high}"
