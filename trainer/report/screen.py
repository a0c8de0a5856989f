"""What a report says on the screen."""

from trainer.report.analysis import Report
from trainer.report.remarks import warnings
from trainer.report.sentences import comparison_sentence, headline


def lines(report: Report) -> list[str]:
    """Table, answer, comparisons and notes."""
    answer = headline(report)
    return [
        *([report.title] if report.title else []),
        *_aligned(_short(report)),
        "",
        answer.title,
        answer.text,
        *(f"  {comparison_sentence(each, report.measure)}" for each in report.told),
        *(f"note: {line}" for line in warnings(report)),
    ]


def _short(report: Report) -> list[dict[str, str]]:
    """The short table."""
    by = report.measure
    return [
        {
            "group": group.label,
            "runs done": f"{[r.status for r in group.runs].count('done')} of {len(group.runs)}",
            f"final {report.split}{'' if by.higher else f' {by.name}'}": by.mean_and_sd(
                group.final
            ),
            "95 % CI": by.interval(group.final),
            "best epoch": by.mean_and_sd(group.best),
            "gap": by.difference_and_sd(group.gap),
        }
        for group in report.shown
    ]


def _aligned(rows: list[dict[str, str]]) -> list[str]:
    """A table for a terminal, its numbers on the right."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if n else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
