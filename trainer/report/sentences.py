"""The answer in words: what the numbers support, and what they do not."""

from dataclasses import dataclass

from trainer.cli.words import count
from trainer.report.analysis import Comparison, Report
from trainer.report.groups import Group
from trainer.report.statistics import Estimate
from trainer.report.words import Measure, counted, joined_range, listed, p_value

MOST_NAMED = 2  # groups in a title; more belong into the text


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer.

    Attributes:
        title: In one short sentence.
        text: What stands behind it.
    """

    title: str
    text: str


def headline(report: Report) -> Headline:
    """Which one to take, and how far the numbers carry that."""
    leader = report.leader
    if leader is None or leader.final is None:
        rest = counted([run.status for run in report.runs])
        done = any(run.status == "done" for run in report.runs)
        title = (
            f"No finished run tells its {report.number}." if done else "No run has finished yet."
        )
        return Headline(title, f"There is nothing to compare: {rest}.")
    if not report.comparisons:
        return _alone(report, leader, leader.final)
    same = [c for c in report.comparisons if c.same_split]
    if not same:
        return Headline(
            "These runs cannot be compared.",
            f"{leader.label} was evaluated on other images than the others: {splits(report)}.",
        )
    ahead = f"{leader.label}: {_reached(report, leader.final)} {_over(report, leader.final)}."
    if all(c.supported for c in same):
        return _clear(leader.label, ahead, same, report.measure)
    if any(c.reversed for c in same):
        return _reversed(leader.label, ahead, same, report.measure)
    if all(c.paired is None for c in same):
        return _hint(leader.label, ahead, same, report.measure)
    return _open(leader.label, ahead, same)


def _reached(report: Report, final: Estimate) -> str:
    """`87.38 % final test accuracy`, `final test loss 0.4213`."""
    number, what = report.measure.value(final.mean), report.number
    return f"{number} {what}" if report.measure.higher else f"{what} {number}"


def _over(report: Report, final: Estimate) -> str:
    interval = "" if final.n == 1 else f" (95 % CI {report.measure.interval(final)})"
    spread = " (two give no 95 % CI)" if final.n == 2 else interval
    return f"over {count(final.n, 'seed')}{spread}"


def _alone(report: Report, leader: Group, final: Estimate) -> Headline:
    who = "The only group with a finished run" if len(report.groups) > 1 else "One group"
    text = f"{who}, {_over(report, final)}: there is nothing to compare it with."
    if final.n == 1:
        text += " One seed: nothing here says how much another would differ."
    return Headline(f"{leader.label}: {_reached(report, final)}.", text)


def _clear(name: str, ahead: str, same: list[Comparison], by: Measure) -> Headline:
    """Better than every other."""
    one, common = len(same) == 1, joined_range([c.seeds for c in same])
    text = (
        f"{ahead} The numbers support that this is {'more' if by.higher else 'less'} than "
        f"{listed([c.other.label for c in same])} {'reaches' if one else 'reach'}: "
        f"{'it is' if one else 'each is'} {'lower' if by.higher else 'higher'} by at least "
        f"{by.amount(min(c.difference for c in same))} on average over {common} common seeds."
    )
    return Headline(f"Take {name}.", text)


def _hint(name: str, ahead: str, same: list[Comparison], by: Measure) -> Headline:
    """Nothing could be tested."""
    nearest = min(same, key=lambda c: c.difference)
    if nearest.difference == 0:
        between = f"level with {nearest.other.label}"
    elif nearest.difference > 0:
        between = f"{by.amount(nearest.difference)} {by.ahead} the next, {nearest.other.label}"
    else:
        between = f"though on the seeds they share {nearest.other.label} is {by.ahead} it"
    one = all(c.seeds == 1 for c in same)
    why = (
        "One seed: nothing here says how much another seed would change that"
        if one
        else "Fewer than two seeds are shared, so nothing here says what chance contributes"
    )
    return Headline(
        f"{name} came out {by.best}{', in one seed' if one else ''}.",
        f"{ahead[:-1]}, {between}. {why}. A first hint, no proof: repeat with seed=0,1,2,3,4.",
    )


def _open(name: str, ahead: str, same: list[Comparison]) -> Headline:
    """Not separated from at least one other."""
    rivals = [c.other.label for c in same if not c.supported]
    named = listed(rivals, most=8)
    if len(rivals) <= MOST_NAMED:
        title, text = f"{name} leads; the numbers do not separate it from {named}.", ahead
    else:
        title = f"{name} leads; {len(rivals)} of {len(same)} others are not separated from it."
        text = f"{ahead} Not separated from it: {named}."
    text += _better_than(same)
    text += (
        " Among those that are not separated, choose by whatever else matters, or run more seeds:"
        " they may tell them apart."
    )
    return Headline(title, text)


def _reversed(name: str, ahead: str, same: list[Comparison], by: Measure) -> Headline:
    """Ahead of another only by seeds that one of the two does not have."""
    others = [c.other.label for c in same if c.reversed]
    named, verb = listed(others, most=8), "is" if len(others) == 1 else "are"
    who = named if len(others) <= MOST_NAMED else f"{len(others)} of {len(same)} others"
    text = (
        f"{ahead} It owes its place before {named} to seeds that one of the two does not have: on "
        f"those that both have, the numbers support that {named} {verb} better."
    )
    if rivals := [c.other.label for c in same if not c.supported and not c.reversed]:
        text += f" Not separated from it: {listed(rivals, most=8)}."
    text += f"{_better_than(same)} Run the same seeds for each group, then compare."
    title = f"{name} came out {by.best}, but on the common seeds {who} {verb} better."
    return Headline(title, text)


def _better_than(same: list[Comparison]) -> str:
    better = [c.other.label for c in same if c.supported]
    if not better:
        return ""
    others = listed(better) if len(better) <= MOST_NAMED else f"the {len(better)} others"
    return f" The numbers support that it is better than {others}."


def splits(report: Report) -> str:
    """What each group was evaluated on."""
    return listed([f"{group.label} on {group.split}" for group in report.ranked])


def comparison_sentence(comparison: Comparison, by: Measure) -> str:
    """What the numbers say about the leader and one other group; names n."""
    leader, other = comparison.leader.label, comparison.other.label
    pair, n = comparison.paired, comparison.seeds
    if not comparison.same_split:
        return (
            f"{leader} and {other}: not compared, they were evaluated on different images "
            f"({comparison.leader.split} and {comparison.other.split})."
        )
    sign, where = (1, by.behind) if comparison.difference >= 0 else (-1, by.ahead)
    lies = f"{other} is {where} {leader} by {by.amount(sign * comparison.difference)}"
    if comparison.difference == 0:
        lies = f"{other} is level with {leader}"
    if pair is None and n == 1:
        text = f"{lies} in one common seed: nothing here says how much another would change it."
    elif pair is None:
        text = f"{lies} on average, without a common seed: not paired, so not tested."
    elif pair.p is None:
        text = (
            f"{lies} in each of n = {n} common seeds alike: too few to see a spread, so the "
            "numbers do not separate them."
        )
    else:
        ends = by.interval_of_difference(pair, times=sign)
        interval = "two seeds give no 95 % CI" if n == 2 else f"95 % CI {ends}"
        adjusted = f"adjusted p = {p_value(comparison.adjusted_p)}".replace("= <", "<")
        text = f"{lies} ({interval}, {adjusted}, n = {n} common seeds): "
        if comparison.reversed:
            text += f"on the seeds that both have, the numbers support that {other} is better."
        else:
            verdict = "support it" if comparison.supported else "do not separate them"
            text += f"the numbers {verdict}."
    return text
