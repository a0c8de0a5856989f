"""The tables of a report, as texts; each output writes them in its own syntax."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from trainer.cli.words import count
from trainer.report import search
from trainer.report.analysis import Comparison, Report
from trainer.report.groups import Group
from trainer.report.runs import Run
from trainer.report.words import NONE, duration, joined_range, p_value


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        title: Its heading.
        rows: Texts by the heading of their column; every row has the same headings.
        texts: Number of leading columns that are text; those behind them are numbers.
        note: A line below it.
        sources: For each row of a table of runs, the folder, and the command that made it.
    """

    title: str
    rows: list[dict[str, str]]
    texts: int = 1
    note: str = ""
    sources: list[tuple[Path, str]] = field(default_factory=list[tuple[Path, str]])

    @property
    def columns(self) -> list[str]:
        """The headings."""
        return list(self.rows[0])


def of(report: Report) -> dict[str, Table | None]:
    """Every table by its name; None where there is nothing to say."""
    made = (importance, results, comparisons, speed, troubles, settings, runs)
    found = {table.__name__: table(report) for table in made}
    return {name: table if table.rows else None for name, table in found.items()}


def importance(report: Report) -> Table:
    """How much each setting of a search mattered."""
    shares = search.importances(report)
    rows = [{"Setting": k, "Importance": f"{100 * share:.0f} %"} for k, share in shares.items()]
    note = (
        "Share of the variance of the trials' ranks that a setting explains on its own (Kelley's "
        "epsilon squared); a number's values are taken in four ranges. It says nothing of how "
        "settings work together."
    )
    return Table("What mattered", rows, note=note)


def results(report: Report) -> Table:
    """Final and best value of each group."""
    by, split = report.measure, "val." if report.split == "val" else "test"
    tested = any(run.test_last is not None for group in report.groups for run in group.finished)
    rows: list[dict[str, str]] = []
    for group in report.shown:
        other = "" if group.split == report.split else f" ({group.split})"
        row = {
            "Group": group.label,
            "Seeds": str(group.seeds),
            f"Final {split}": by.mean_and_sd(group.final) + other,
            "95 % CI of the mean": by.interval(group.final),
            f"Best epoch's {split}": by.mean_and_sd(group.best),
        }
        if tested:
            row["Test, last weights"] = by.mean_and_sd(group.estimate(lambda run: run.test_last))
            row["Test, best weights"] = by.mean_and_sd(group.estimate(lambda run: run.test_best))
        row["Final train"] = by.mean_and_sd(group.train)
        row["Gap (points)" if by.higher else "Gap"] = by.difference_and_sd(group.gap)
        rows.append(row)
    left_out = len(report.groups) - len(report.shown)
    rest = f" The {len(report.shown)} best; report.csv has {left_out} more." if left_out else ""
    note = f"Mean ± standard deviation over seeds.{rest}"
    return Table(by.name.capitalize(), rows, note=note)


def speed(report: Report) -> Table:
    """Length and seconds of the runs, and steps and seconds to the target."""
    target, by = report.target, report.measure
    rows: list[dict[str, str]] = []
    for group in report.shown:
        total = group.estimate(lambda run: run.seconds)
        rows.append(
            {
                "Group": group.label,
                "Epochs": joined_range([run.epochs for run in group.finished]),
                "Steps": joined_range([run.updates for run in group.finished]),
                **({} if target is None else _way(group, target)),
                "Time a run": duration(total and total.mean),
            }
        )
    if target is None:
        return Table("Length and time", rows)
    title = f"On the way to {f'{100 * target:g} %' if by.higher else f'a {by.name} of {target:g}'}"
    note = (
        f"Means over the runs that reached it, at the first evaluation at or {by.ahead} the target."
    )
    return Table(title, rows, note=note)


def _way(group: Group, target: float) -> dict[str, str]:
    """How many runs reached a target, and after how many steps and seconds."""
    reached = sum(run.reached(target) is not None for run in group.finished)
    updates = group.estimate(lambda run: (run.reached(target) or (None,))[0])
    seconds = group.estimate(lambda run: (run.reached(target) or (0, None))[1])
    return {
        "Reached": f"{reached} of {len(group.finished)}" if group.finished else NONE,
        "Steps to it": NONE if updates is None else f"{updates.mean:,.0f}",
        "Time to it": duration(seconds and seconds.mean),
    }


def comparisons(report: Report) -> Table:
    """The leader against each other group."""
    by = report.measure
    rows = [
        {
            "Group": c.other.label,
            "Common seeds": str(c.seeds),
            "Difference (points)" if by.higher else "Lower by": by.difference(
                c.difference, sign=True
            ),
            "95 % CI": by.interval_of_difference(c.paired, sign=True),
            "p": p_value(c.paired.p if c.paired else None),
            "p (Holm)": p_value(c.adjusted_p),
            "Conclusion": _verdict(c),
        }
        for c in report.told
        if c.same_split
    ]
    return Table(f"{report.leader and report.leader.label} against each other group", rows)


def _verdict(comparison: Comparison) -> str:
    if comparison.supported:
        return "supported"
    if comparison.reversed:
        return "worse on the common seeds"
    return "not separated" if comparison.paired else "not tested"


def troubles(report: Report) -> Table:
    """The runs that did not finish."""
    rows = [
        {
            "Folder": run.place,
            "Group": _label(report, run),
            "Status": run.status,
            "Epochs": str(run.epochs) if run.planned is None else f"{run.epochs} of {run.planned}",
            "Error or last sign": run.error or _silence(run),
        }
        for run in report.runs
        if run.status != "done"
    ]
    return Table("Failed, missing or unfinished", rows, texts=5)


def _label(report: Report, run: Run) -> str:
    return report.label(run) or " ".join(run.overrides) or run.name or NONE


def _silence(run: Run) -> str:
    if run.changed is None:
        return NONE
    return time.strftime("last written %Y-%m-%d %H:%M", time.localtime(run.changed))


def runs(report: Report) -> Table:
    """Every run."""
    by = report.measure
    rows = [
        {
            "Folder": run.place,
            "Group": _label(report, run),
            "Status": run.status,
            "Seed": str(run.seed) if isinstance(run.seed, int) else NONE,
            "Epochs": str(run.epochs),
            "Final": by.value(run.final),
            "Best (epoch)": f"{by.value(run.best)} ({row['epoch']:.0f})"
            if (row := run.best_row)
            else NONE,
            "Train": by.value(run.train),
            "Time": duration(run.seconds),
        }
        for run in report.runs
    ]
    sources = [(run.folder, run.command) for run in report.runs]
    return Table("Every run", rows, texts=3, sources=sources)


def settings(report: Report) -> Table:
    """What each group does not share with all others; empty for a single group."""
    several = len(report.groups) > 1
    groups = report.shown if several else []
    rows = [{"Group": g.label, "Settings": " ".join(g.settings) or NONE} for g in groups]
    return Table(f"What sets the {count(len(groups), 'group')} apart", rows, texts=2)
