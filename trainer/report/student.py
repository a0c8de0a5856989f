"""Student's t distribution to ten digits or more; scipy is not a dependency."""

import math

_TINY = 1e-300  # stands in for a zero denominator of the continued fraction
_PRECISION = 1e-16
_MOST_TERMS = 10_000


def two_sided_p(t: float, degrees: int) -> float:
    """Probability that a t-distributed value is at least as far from 0 as `t`.

    Args:
        t: The statistic; its sign does not matter.
        degrees: Degrees of freedom, at least 1.

    Returns:
        A probability in [0, 1].

    Raises:
        ValueError: If there is no degree of freedom.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.1 with 26.5.27:
        P(|T| > t) = I_x(degrees / 2, 1 / 2) with x = degrees / (degrees + t^2).
    """
    if degrees < 1:
        raise ValueError(f"degrees={degrees}: must be at least 1")
    if math.isinf(t):
        return 0.0
    square = t * t
    # Both arguments are computed, not one from the other: 1 - x would lose what a small t says.
    x, complement = degrees / (degrees + square), square / (degrees + square)
    return incomplete_beta(degrees / 2, 0.5, x, complement)


def two_sided_quantile(level: float, degrees: int) -> float:
    """The t > 0 with P(-t < T < t) = level, as 2.776 for 0.95 and 4 degrees of freedom.

    Args:
        level: In (0, 1).
        degrees: Degrees of freedom, at least 1.

    Raises:
        ValueError: If an argument is out of its range.

    Source: bisection on `two_sided_p`, which falls strictly in t.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}: must be in (0, 1)")
    outside = 1 - level
    low, high = 0.0, 1.0
    while two_sided_p(high, degrees) > outside:
        low, high = high, 2 * high
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        if two_sided_p(middle, degrees) > outside:
            low = middle
        else:
            high = middle


def incomplete_beta(a: float, b: float, x: float, complement: float) -> float:
    """The regularised incomplete beta function I_x(a, b).

    Args:
        a: Above 0.
        b: Above 0.
        x: In [0, 1].
        complement: 1 - x, given apart because subtracting would lose digits.

    Source: NIST Digital Library of Mathematical Functions, 8.17.22 (continued fraction), with
        8.17.4, I_x(a, b) = 1 - I_{1-x}(b, a), on the side where it converges slowly.
    """
    if x <= 0 or complement <= 0:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(
        math.lgamma(a + b)
        - math.lgamma(a)
        - math.lgamma(b)
        + a * math.log(x)
        + b * math.log(complement)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, complement) / b


def _fraction(a: float, b: float, x: float) -> float:
    """The fraction 1 / (1 + d_1 / (1 + d_2 / (1 + ...))) of DLMF 8.17.22.

    Source: its denominator is evaluated from the front as in Lentz, Generating Bessel functions
        in Mie scattering calculations using continued fractions, Applied Optics 15 (1976), 668-671.
    """
    value = above = 1.0
    below = 0.0
    for n in range(1, _MOST_TERMS):
        term = _coefficient(n, a, b, x)
        below = 1 / _not_zero(1 + term * below)
        above = _not_zero(1 + term / above)
        value *= above * below
        if abs(above * below - 1) < _PRECISION:
            break
    return 1 / value


def _coefficient(n: int, a: float, b: float, x: float) -> float:
    m, odd = divmod(n, 2)
    if odd:
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
