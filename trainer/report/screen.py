"""What a report says on the screen."""

from trainer.report import tables
from trainer.report.remarks import warnings
from trainer.report.sentences import comparison_sentence, headline
from trainer.report.write import Written


def lines(written: Written) -> list[str]:
    """Table, answer, comparisons, notes, and where the page is."""
    result = written.report
    answer = headline(result)
    text = [*tables.terminal(tables.screen(result)), "", answer.title, answer.text]
    text += [
        f"  {comparison_sentence(comparison, result.measure)}" for comparison in result.comparisons
    ]
    text += [f"note: {line}" for line in warnings(result)]
    return [*text, "", f"report: {written.folder / 'report.html'}"]
