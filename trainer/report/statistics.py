"""What a few seeds say: mean with its interval, paired differences, many comparisons."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

UPPER = 0.975  # where a two-sided 95 % interval ends
# Seeds that an interval needs: with two, t is 12.7, and the interval of an accuracy reaches easily
# beyond everything that an accuracy can be.
FEWEST = 3
# Of the largest value: values and their subtraction are rounded, so differences that are equal come
# out this far apart.
ROUNDING = 8 * sys.float_info.epsilon


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of one number per seed.

    Attributes:
        n: Seeds.
        mean: Their mean.
        sd: Sample standard deviation (n - 1); None for one seed.
        half_width: Half of the 95 % confidence interval of the mean; None for fewer than 3 seeds.
    """

    n: int
    mean: float
    sd: float | None
    half_width: float | None


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The mean of the differences within seeds.

    Attributes:
        n: Seeds that both sides have, at least 2.
        mean: Mean difference.
        sd: Sample standard deviation of the differences.
        half_width: Half of its 95 % confidence interval; None for fewer than 3 seeds, and where all
            differences are equal, which says that n is too small to see their spread.
        p: Two-sided p of "no difference"; None where all differences are equal.
    """

    n: int
    mean: float
    sd: float
    half_width: float | None
    p: float | None


def quantile(degrees: int) -> float:
    """The t that 97.5 % lie below, such as 2.776 for 4 degrees of freedom."""
    from scipy.special import stdtrit  # takes a quarter of a second: not for --help

    return float(stdtrit(degrees, UPPER))


def two_sided_p(t: float, degrees: int) -> float:
    """Probability, in [0, 1], that a t-distributed value is at least as far from 0 as `t`."""
    from scipy.special import stdtr

    return 2 * float(stdtr(degrees, -abs(t)))


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, sample standard deviation and confidence interval.

    Args:
        values: One per seed, at least one.

    Source: Student, The probable error of a mean, Biometrika 6 (1908), 1-25:
        mean +- t(0.975, n - 1) * sd / sqrt(n).
    """
    n, mean = len(values), fmean(values)
    if n < 2:
        return Estimate(n, mean, None, None)
    sd = stdev(values)
    return Estimate(n, mean, sd, _half_width(n, sd))


def _half_width(n: int, sd: float) -> float | None:
    return None if n < FEWEST else quantile(n - 1) * sd / math.sqrt(n)


def paired_difference(
    first: Mapping[int | str, float], second: Mapping[int | str, float]
) -> PairedDifference | None:
    """First minus second over the seeds that both have; None if those are fewer than 2.

    The same seed gives both runs the same initial weights and the same images in the same order,
    so what a seed does to both drops out of the difference.

    Args:
        first: Value by seed.
        second: Value by seed.

    Source: Student (1908) as above, section IX: t = mean / (sd / sqrt(n)), n - 1 degrees.
    """
    shared = [(first[seed], second[seed]) for seed in first if seed in second]
    differences = [one - other for one, other in shared]
    n = len(differences)
    if n < 2:
        return None
    mean, sd = fmean(differences), stdev(differences)
    if sd <= ROUNDING * max(max(map(abs, pair)) for pair in shared):
        return PairedDifference(n, mean, sd, None, None)
    p = two_sided_p(mean / (sd / math.sqrt(n)), n - 1)
    return PairedDifference(n, mean, sd, _half_width(n, sd), p)


def holm(ps: Sequence[float]) -> list[float]:
    """The p values adjusted for being several, in the given order.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
        Statistics 6 (1979), 65-70: the i-th smallest of m (from 1) becomes the largest of
        (m - j + 1) p_j over j <= i, at most 1.
    """
    adjusted = [0.0] * len(ps)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return adjusted
