"""What a report says on the screen."""

from trainer.report.analysis import Report
from trainer.report.remarks import warnings
from trainer.report.sentences import comparison_sentence, headline
from trainer.report.tables import Table


def lines(report: Report) -> list[str]:
    """Table, answer, comparisons and notes."""
    answer = headline(report)
    return [
        *_aligned(_short(report)),
        "",
        answer.title,
        answer.text,
        *(f"  {comparison_sentence(each, report.measure)}" for each in report.comparisons),
        *(f"note: {line}" for line in warnings(report)),
    ]


def _short(report: Report) -> Table:
    """The short table."""
    by = report.measure
    rows = [
        [
            group.label,
            f"{sum(run.status == 'done' for run in group.runs)} of {len(group.runs)}",
            by.mean_and_sd(group.final),
            by.interval(group.final),
            by.mean_and_sd(group.best),
            by.difference_and_sd(group.gap),
        ]
        for group in report.groups
    ]
    final = f"final {report.split}" + ("" if by.higher else f" {by.name}")
    return Table("", ["group", "runs done", final, "95 % CI", "best epoch", "gap"], rows)


def _aligned(table: Table) -> list[str]:
    """A table for a terminal, columns aligned."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(table.columns))]
    return [
        "  ".join(
            cell.ljust(width) if n < table.texts else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
