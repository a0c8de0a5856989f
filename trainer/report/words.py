"""How numbers are written for a reader, above all the one that runs are compared by."""

from collections import Counter
from dataclasses import dataclass

from trainer.report.statistics import Estimate, PairedDifference

NONE = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric of evaluated epochs.

    Attributes:
        name: `accuracy` or `loss`, as in metrics.jsonl behind the split.
        higher: Whether more of it is better.
        target: Value that speed is measured by unless another is named; None: there is none.
    """

    name: str
    higher: bool
    target: float | None = None

    @property
    def scale(self) -> float:
        """Axes show so many times the value."""
        return 100.0 if self.higher else 1.0

    @property
    def axis(self) -> str:
        """What an axis is called."""
        return f"{self.name} (%)" if self.higher else self.name

    @property
    def best(self) -> str:
        """What the best one is."""
        return "highest" if self.higher else "lowest"

    @property
    def ahead(self) -> str:
        """Where a better value lies."""
        return "above" if self.higher else "below"

    @property
    def behind(self) -> str:
        """Where a worse value lies."""
        return "below" if self.higher else "above"

    def better_by(self, first: float, second: float) -> float:
        """How much better the first value is than the second; negative where it is worse."""
        return first - second if self.higher else second - first

    def value(self, value: float | None) -> str:
        """`87.38 %`, or `0.4213`."""
        if value is None:
            return NONE
        return _typeset(f"{100 * value:.2f} %" if self.higher else f"{value:#.4g}")

    def difference(self, value: float | None, *, sign: bool = False) -> str:
        """In percentage points, `0.43`, or as it is."""
        if value is None:
            return NONE
        number = f"{100 * value:+.2f}" if self.higher else f"{value:+#.3g}"
        return _typeset(number if sign else number.removeprefix("+"))

    def amount(self, value: float) -> str:
        """A difference with its unit, `0.43 points`."""
        return f"{self.difference(value)}{' points' if self.higher else ''}"

    def mean_and_sd(self, value: Estimate | None) -> str:
        """`87.38 ± 0.21 %`; without a spread for one seed."""
        if value is None or value.sd is None:
            return self.value(value and value.mean)
        if self.higher:
            return f"{100 * value.mean:.2f} ± {100 * value.sd:.2f} %"
        return f"{self.value(value.mean)} ± {_typeset(f'{value.sd:#.2g}')}"

    def difference_and_sd(self, value: Estimate | None) -> str:
        """`5.22 ± 0.12`."""
        if value is None or value.sd is None:
            return self.difference(value and value.mean)
        return f"{self.difference(value.mean)} ± {self.difference(value.sd)}"

    def ends(self, value: Estimate | None) -> tuple[float, float] | None:
        """The 95 % interval of a mean, cut where an accuracy cannot be; None: there is none."""
        if value is None or value.half_width is None:
            return None
        low, high = value.mean - value.half_width, value.mean + value.half_width
        return (max(low, 0.0), min(high, 1.0)) if self.higher else (low, high)

    def interval(self, value: Estimate | None) -> str:
        """The same as a text, `86.90 to 87.86` (percent)."""
        if value is None or (ends := self.ends(value)) is None:
            return "two seeds give none" if value and value.n == 2 else NONE
        if self.higher:
            return f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f}"
        return f"{self.value(ends[0])} to {self.value(ends[1])}"

    def interval_of_difference(
        self, value: PairedDifference | None, *, sign: bool = False, times: int = 1
    ) -> str:
        """The 95 % interval of a difference, `0.12 to 0.86`; `times=-1`: the other way round."""
        if value is None or value.half_width is None:
            return NONE
        ends = sorted(times * value.mean + side * value.half_width for side in (-1, 1))
        return " to ".join(self.difference(end, sign=sign) for end in ends)


def _typeset(number: str) -> str:
    """With a true minus, in front of the number and of its exponent alike."""
    return number.replace("-", "\N{MINUS SIGN}")


ACCURACY = Measure("accuracy", higher=True, target=0.80)
LOSS = Measure("loss", higher=False)


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


def counted(words: list[str]) -> str:
    """`3 done and 1 failed`."""
    return listed([f"{n} {word}" for word, n in Counter(words).items()])


def joined_range(numbers: list[float]) -> str:
    """`30`, or `30 to 40`; a dash for none."""
    if not numbers:
        return NONE
    low, high = f"{min(numbers):,.0f}", f"{max(numbers):,.0f}"
    return low if low == high else f"{low} to {high}"
