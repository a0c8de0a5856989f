"""From runs to what can be said about them; plain values, nothing is written here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from trainer.report.groups import Group, divide, shortened
from trainer.report.runs import Run
from trainer.report.statistics import PairedDifference, holm, paired_difference
from trainer.report.words import ACCURACY, LOSS, Measure

SIGNIFICANT = 0.05  # the 5 % that belongs to a 95 % interval
MOST_GROUPS = 24  # as many as can be told apart in a picture
BEST = 10  # groups that are shown of more than that, and of each part of a mixed folder


@dataclass(frozen=True, slots=True)
class Comparison:
    """The group with the best mean against another one.

    Attributes:
        leader: The best group.
        other: The other.
        seeds: Seeds that both have.
        difference: How much better the leader is on average: within the common seeds, or of the
            two means where there are none.
        paired: Its interval and p, positive as above; None for fewer than 2 common seeds.
        adjusted_p: p after Holm's adjustment for all comparisons of the report.
        same_split: Whether both were evaluated on the same images.
    """

    leader: Group
    other: Group
    seeds: int
    difference: float
    paired: PairedDifference | None
    adjusted_p: float | None
    same_split: bool

    @property
    def supported(self) -> bool:
        """Whether the numbers support that the leader is better."""
        return self._significant and self.difference > 0

    @property
    def reversed(self) -> bool:
        """Whether they support that the other is, on the common seeds.

        The leader's mean is then better only by seeds that one of the two does not have.
        """
        return self._significant and self.difference < 0

    @property
    def _significant(self) -> bool:
        return self.adjusted_p is not None and self.adjusted_p < SIGNIFICANT


@dataclass(frozen=True, slots=True)
class Report:
    """What runs say when they are compared.

    Attributes:
        runs: All of them.
        measure: What they are compared by.
        groups: Groups with a finished run, best mean of the final value first, then the others.
        comparisons: The first group against each other one that has a finished run.
        common: Settings that all runs share, `key=value`.
        target: Value that speed is measured by; None: there is none.
        notes: What had to be assumed about the configurations.
        title: What its runs share, where others are compared beside them; else empty.
    """

    runs: list[Run]
    measure: Measure
    groups: list[Group]
    comparisons: list[Comparison]
    common: list[str]
    target: float | None
    notes: list[str]
    title: str = ""

    @property
    def shown(self) -> list[Group]:
        """The groups that tables and pictures have: all, or the 10 best."""
        few = len(self.groups) <= MOST_GROUPS and not self.title
        return self.groups if few else self.groups[:BEST]

    def label(self, run: Run) -> str | None:
        """What the group of a run is called; None: it is in none."""
        groups = (group for group in self.groups if any(own is run for own in group.runs))
        return next((group.label for group in groups), None)

    @property
    def told(self) -> list[Comparison]:
        """The comparisons with the groups that are shown."""
        return [each for each in self.comparisons if each.other in self.shown]

    @property
    def ranked(self) -> list[Group]:
        """The groups with a finished run, best first."""
        return [group for group in self.groups if group.finished]

    @property
    def leader(self) -> Group | None:
        """The group with the best mean."""
        return next(iter(self.ranked), None)

    @property
    def split(self) -> str:
        """What most groups were evaluated on."""
        splits = [group.split for group in self.ranked or self.groups] or ["test"]
        return max(("test", "val"), key=splits.count)

    @property
    def images(self) -> str:
        """The same as a word."""
        return "validation" if self.split == "val" else "test"

    @property
    def number(self) -> str:
        """What groups are compared by, such as `final test accuracy`."""
        return f"final {self.images} {self.measure.name}"


def analyse(runs: Sequence[Run], target: float | None = None, title: str = "") -> Report:
    """Groups the runs and compares the groups: by accuracy, or by loss where none has one.

    Args:
        runs: In the order in which they are to be listed; what they are compared by is set.
        target: Value that speed is measured by; None: 80 % of accuracy.
        title: What sets these runs apart from others that are compared beside them.

    Raises:
        ValueError: If the target is no accuracy.
    """
    measure = _measure(runs)
    if target is not None and measure.higher and target > 1:
        raise ValueError(f"--target {target:g}: must be an accuracy, at most 1; 0.8 is 80 %")
    groups, common, notes = divide([run for run in runs if run.settings])
    groups += [  # no telling what it shares with others
        Group(run.name or run.place, [run], ["configuration unknown"], run.split)
        for run in runs
        if not run.settings and run.rows
    ]
    labels = shortened([group.label for group in groups])
    groups = [replace(group, label=label) for group, label in zip(groups, labels, strict=True)]
    groups = _ranked(groups, measure)
    comparisons = _compare(groups, measure)
    target = measure.target if target is None else target
    return Report(list(runs), measure, groups, comparisons, common, target, notes, title)


def _measure(runs: Sequence[Run]) -> Measure:
    """What the runs are compared by from here on; who lacks it is told so.

    Runs that did not finish are in no mean, so they do not decide it where others did.
    """
    judged = [run for run in runs if run.status == "done" and run.rows] or runs
    classes = [run for run in judged if any(f"{run.split}/accuracy" in row for row in run.rows)]
    known = [run for run in judged if any(f"{run.split}/loss" in row for row in run.rows)]
    measure = LOSS if known and not classes else ACCURACY
    for run in runs:
        run.measure = measure.name
        if run.rows and not run.evaluated:
            why = " (loss=mse)" if run.settings.get("loss") == "mse" else ""
            run.notes.append(f"has no {measure.name}{why}, by which runs are compared here")
    return measure


def _ranked(groups: list[Group], measure: Measure) -> list[Group]:
    """Best mean first; groups on other images than most, and those without a result, behind."""
    splits = [group.split for group in groups if group.finished]

    def rank(group: Group) -> tuple[bool, bool, float]:
        final = group.final
        odd = splits.count(group.split) < len(splits) / 2
        return final is None, odd, 0.0 if final is None else measure.better_by(0.0, final.mean)

    return sorted(groups, key=rank)


def _compare(groups: list[Group], measure: Measure) -> list[Comparison]:
    ranked = [group for group in groups if group.finished]
    if len(ranked) < 2:
        return []
    leader, others = ranked[0], ranked[1:]
    first = leader.by_seed(lambda run: run.final)
    seconds = [other.by_seed(lambda run: run.final) for other in others]
    pairs = [
        paired_difference(*((first, second) if measure.higher else (second, first)))
        if other.split == leader.split
        else None
        for other, second in zip(others, seconds, strict=True)
    ]
    ps = [pair.p for pair in pairs if pair is not None and pair.p is not None]
    adjusted = iter(holm(ps))
    comparisons: list[Comparison] = []
    for other, second, pair in zip(others, seconds, pairs, strict=True):
        shared = [seed for seed in first if seed in second]
        ours = [first[seed] for seed in shared] or list(first.values())
        theirs = [second[seed] for seed in shared] or list(second.values())
        comparisons.append(
            Comparison(
                leader,
                other,
                len(shared),
                measure.better_by(fmean(ours), fmean(theirs)),
                pair,
                next(adjusted) if pair is not None and pair.p is not None else None,
                leader.split == other.split,
            )
        )
    return comparisons
