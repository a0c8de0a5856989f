"""The tables of a report, as texts; each output writes them in its own syntax."""

import time
from dataclasses import dataclass

from trainer.cli.words import count
from trainer.report.analysis import Comparison, Report
from trainer.report.groups import Group
from trainer.report.runs import Run
from trainer.report.words import NONE, duration, joined_range, p_value


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        title: Its heading.
        columns: The headings; those after the first `texts` are of numbers.
        rows: As many texts each.
        texts: Number of leading columns that are text.
        note: A line below it.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    texts: int = 1
    note: str = ""


def of(report: Report) -> dict[str, Table | None]:
    """Every table by its name; None where there is nothing to say."""
    made = (results, comparisons, speed, troubles, settings, runs)
    return {table.__name__: table(report) for table in made}


def results(report: Report) -> Table:
    """Final and best value of each group."""
    by, split = report.measure, "val." if report.split == "val" else "test"
    tested = any(run.test_last is not None for group in report.groups for run in group.finished)
    columns = ["Group", "Seeds", f"Final {split}", "95 % CI of the mean", f"Best epoch's {split}"]
    columns += ["Test, last weights", "Test, best weights"] if tested else []
    columns += ["Final train", "Gap (points)" if by.higher else "Gap"]
    rows: list[list[str]] = []
    for group in report.groups:
        other = "" if group.split == report.split else f" ({group.split})"
        row = [group.label, str(group.seeds), by.mean_and_sd(group.final) + other]
        row.append(by.interval(group.final))
        row.append(by.mean_and_sd(group.best))
        if tested:
            row.append(by.mean_and_sd(group.estimate(lambda run: run.test_last)))
            row.append(by.mean_and_sd(group.estimate(lambda run: run.test_best)))
        row.append(by.mean_and_sd(group.train))
        rows.append([*row, by.difference_and_sd(group.gap)])
    note = "Mean ± standard deviation over seeds."
    return Table(by.name.capitalize(), columns, rows, note=note)


def speed(report: Report) -> Table:
    """Length and seconds of the runs, and steps and seconds to the target."""
    target = report.target
    columns = ["Group", "Epochs", "Steps"]
    columns += [] if target is None else ["Reached", "Steps to it", "Time to it"]
    columns += ["Time a run"]
    rows: list[list[str]] = []
    for group in report.groups:
        finished = group.finished
        if not finished:
            rows.append([group.label, *[NONE] * (len(columns) - 1)])
            continue
        row = [group.label, joined_range([run.epochs for run in finished])]
        row.append(joined_range([run.updates for run in finished]))
        row += [] if target is None else _way(group, target)
        total = group.estimate(lambda run: run.seconds)
        rows.append([*row, duration(total and total.mean)])
    if target is None:
        return Table("Length and time", columns, rows)
    by = report.measure
    title = f"On the way to {f'{100 * target:g} %' if by.higher else f'a {by.name} of {target:g}'}"
    note = (
        f"Means over the runs that reached it, at the first evaluation at or {by.ahead} the target."
    )
    return Table(title, columns, rows, note=note)


def _way(group: Group, target: float) -> list[str]:
    """How many runs reached a target, and after how many steps and seconds."""
    finished = group.finished
    reached = sum(run.reached(target) is not None for run in finished)
    updates = group.estimate(lambda run: (run.reached(target) or (None,))[0])
    seconds = group.estimate(lambda run: (run.reached(target) or (0, None))[1])
    return [
        f"{reached} of {len(finished)}",
        NONE if updates is None else f"{updates.mean:,.0f}",
        duration(seconds and seconds.mean),
    ]


def comparisons(report: Report) -> Table | None:
    """The leader against each other group; None if there is nothing to compare."""
    if not any(c.same_split for c in report.comparisons):
        return None
    by = report.measure
    rows = [
        [
            c.other.label,
            str(c.seeds),
            by.difference(c.difference, sign=True),
            by.interval_of_difference(c.paired, sign=True),
            p_value(c.paired.p if c.paired else None),
            p_value(c.adjusted_p),
            _verdict(c),
        ]
        for c in report.comparisons
        if c.same_split
    ]
    lead = "Difference (points)" if by.higher else "Lower by"
    columns = ["Group", "Common seeds", lead, "95 % CI", "p", "p (Holm)"]
    title = f"{report.comparisons[0].leader.label} against each other group"
    return Table(title, [*columns, "Conclusion"], rows)


def _verdict(comparison: Comparison) -> str:
    if comparison.supported:
        return "supported"
    if comparison.reversed:
        return "worse on the common seeds"
    return "not separated" if comparison.paired else "not tested"


def troubles(report: Report) -> Table | None:
    """The runs that did not finish; None if all did."""
    rows = [
        [
            run.place,
            _label(report, run),
            run.status,
            _progress(run),
            run.error or _silence(run),
        ]
        for run in report.runs
        if run.status != "done"
    ]
    columns = ["Folder", "Group", "Status", "Epochs", "Error or last sign"]
    return Table("Failed, missing or unfinished", columns, rows, texts=5) if rows else None


def _label(report: Report, run: Run) -> str:
    for group in report.groups:
        if any(other is run for other in group.runs):
            return group.label
    return " ".join(run.overrides) or run.name or NONE


def _progress(run: Run) -> str:
    return f"{run.epochs} of {run.planned}" if run.planned is not None else str(run.epochs)


def _silence(run: Run) -> str:
    if run.changed is None:
        return NONE
    return time.strftime("last written %Y-%m-%d %H:%M", time.localtime(run.changed))


def runs(report: Report) -> Table:
    """Every run."""
    rows = [
        [
            run.place,
            _label(report, run),
            run.status,
            str(run.seed) if isinstance(run.seed, int) else NONE,
            str(run.epochs),
            report.measure.value(run.final),
            _best(report, run),
            report.measure.value(run.train),
            duration(run.seconds),
        ]
        for run in report.runs
    ]
    columns = ["Folder", "Group", "Status", "Seed", "Epochs", "Final", "Best (epoch)", "Train"]
    return Table("Every run", [*columns, "Time"], rows, texts=3)


def _best(report: Report, run: Run) -> str:
    row = run.best_row
    return NONE if row is None else f"{report.measure.value(run.best)} ({int(row['epoch'])})"


def settings(report: Report) -> Table | None:
    """What each group does not share with all others; None for a single group."""
    if len(report.groups) < 2:
        return None
    rows = [[group.label, " ".join(group.settings) or NONE] for group in report.groups]
    title = f"What sets the {count(len(report.groups), 'group')} apart"
    return Table(title, ["Group", "Settings"], rows, texts=2)
