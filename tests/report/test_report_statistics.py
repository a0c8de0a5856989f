"""Student's t, intervals, paired differences and Holm against scipy and first principles."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from trainer.report.statistics import estimate, holm, paired_difference, quantile, two_sided_p

DEGREES = (1, 2, 3, 4, 9, 29, 100, 1000, 100_000)


@pytest.mark.parametrize("degrees", DEGREES)
def test_the_t_distribution_equals_scipys(degrees: int) -> None:
    for t in (1e-3, 0.1, 0.5, 1.0, 1.9, 2.776, 5.0, 12.0, 60.0):
        expected = 2 * stats.t.sf(t, degrees)
        assert two_sided_p(t, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-250)
        assert two_sided_p(-t, degrees) == two_sided_p(t, degrees)


@pytest.mark.parametrize("degrees", DEGREES)
def test_the_quantiles_equal_scipys(degrees: int) -> None:
    assert quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-9)


def test_the_quantile_is_the_one_of_the_printed_tables() -> None:
    assert [round(quantile(n), 3) for n in (1, 2, 4, 9)] == [
        12.706,
        4.303,
        2.776,
        2.262,
    ]


def test_p_is_1_without_a_difference_and_0_for_an_endless_one() -> None:
    assert two_sided_p(0.0, 5) == 1.0
    assert two_sided_p(math.inf, 5) == 0.0


@pytest.mark.parametrize("n", [3, 5, 30])
def test_a_mean_and_its_interval_equal_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(0.87, 0.003, n)
    ours = estimate(list(values))
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert ours.mean == pytest.approx(values.mean(), rel=1e-12)
    assert ours.sd == pytest.approx(values.std(ddof=1), rel=1e-9)
    assert ours.half_width is not None
    assert (ours.mean - ours.half_width, ours.mean + ours.half_width) == pytest.approx((low, high))


def test_one_seed_has_no_spread_and_two_have_no_interval() -> None:
    assert estimate([0.8]).sd is None
    assert estimate([0.8]).half_width is None
    assert estimate([0.8, 0.9]).sd == pytest.approx(np.std([0.8, 0.9], ddof=1))
    assert estimate([0.8, 0.9]).half_width is None
    pair = paired_difference({0: 0.8, 1: 0.9}, {0: 0.7, 1: 0.85})
    assert pair is not None
    assert pair.half_width is None
    assert pair.p == pytest.approx(stats.ttest_rel([0.8, 0.9], [0.7, 0.85]).pvalue)


@pytest.mark.parametrize("n", [3, 5, 30])
def test_a_paired_difference_equals_scipys(n: int) -> None:
    random = np.random.default_rng(n)
    first = dict(enumerate(random.normal(0.87, 0.003, n)))
    second = dict(enumerate(random.normal(0.868, 0.003, n)))
    ours = paired_difference({**first, 99: 0.1}, {**second, 98: 0.9})  # not in both: left out
    expected = stats.ttest_rel(list(first.values()), list(second.values()))
    interval = expected.confidence_interval(0.95)
    assert ours is not None
    assert ours.half_width is not None
    assert ours.n == n
    assert ours.p == pytest.approx(expected.pvalue, rel=1e-9)
    ends = (ours.mean - ours.half_width, ours.mean + ours.half_width)
    assert ends == pytest.approx((interval.low, interval.high))


def test_pairs_go_by_seed_and_not_by_order() -> None:
    one = paired_difference({0: 0.1, 1: 0.5}, {1: 0.4, 0: 0.05})
    assert one is not None
    assert one.mean == pytest.approx(0.075)
    assert one.sd == pytest.approx(np.std([0.05, 0.1], ddof=1))


def test_fewer_than_two_common_seeds_are_no_pairs() -> None:
    assert paired_difference({0: 0.1, 1: 0.2}, {1: 0.1, 2: 0.3}) is None


def test_equal_differences_claim_no_certainty() -> None:
    pair = paired_difference({0: 0.80, 1: 0.81}, {0: 0.79, 1: 0.80})
    assert pair is not None
    assert pair.mean == pytest.approx(0.01)
    assert pair.p is None
    assert pair.half_width is None


def test_equal_differences_are_told_from_small_ones() -> None:
    """Of accuracies, which are rounded fractions, as of losses of any size."""
    random = np.random.default_rng(0)
    for images in (64, 10_000, 1_000_003):
        for n in (2, 3, 10):
            correct = random.integers(0, images - 7, n)
            first = {seed: int(k + 7) / images for seed, k in enumerate(correct)}
            pair = paired_difference(
                first, {seed: int(k) / images for seed, k in enumerate(correct)}
            )
            assert pair is not None
            assert pair.p is None
    low, high = [1.0, 1.1, 0.9], [5.0, 5.2, 5.1]
    expected = stats.ttest_rel(high, low).pvalue
    for scale in (1.0, 1e-13, 1e-100):  # below 1e-154 Python 3.10's stdev is 0
        one, other = (dict(enumerate(scale * value for value in x)) for x in (high, low))
        pair = paired_difference(one, other)
        assert pair is not None
        assert pair.p == pytest.approx(expected)
    zero = paired_difference({0: 0.0, 1: 0.0}, {0: 0.0, 1: 0.0})
    assert zero is not None
    assert zero.p is None


def test_holm_gives_the_values_of_its_textbook_example() -> None:
    # As R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") prints them.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([0.03]) == [0.03]


def test_holm_is_the_closed_test_over_bonferroni() -> None:
    random = np.random.default_rng(0)
    for m in (2, 3, 5):
        ps = list(random.uniform(0, 0.3, m))
        subsets = [s for k in range(1, m + 1) for s in itertools.combinations(range(m), k)]
        for index, adjusted in enumerate(holm(ps)):
            bonferroni = (len(s) * min(ps[j] for j in s) for s in subsets if index in s)
            assert adjusted == pytest.approx(min(1.0, max(bonferroni)))
