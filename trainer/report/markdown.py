"""report.md."""

import re
from collections.abc import Sequence

from trainer.report import tables
from trainer.report.analysis import Report
from trainer.report.figures import Picture
from trainer.report.provenance import Provenance
from trainer.report.remarks import explanations, warnings
from trainer.report.sentences import comparison_sentence, headline
from trainer.report.tables import Table


def escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    text = re.sub(r"([\\`*\[\]<>|~&#])", r"\\\1", text)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def text(report: Report, pictures: Sequence[Picture], provenance: Provenance) -> str:
    """The whole document; the pictures lie beside it."""
    answer = headline(report)
    lines = [f"# {escaped(answer.title)}", "", escaped(answer.text), ""]
    if remarks := warnings(report):
        lines += ["**Before believing it:**", "", *(f"- {escaped(line)}" for line in remarks), ""]
    by_name = {picture.name: picture for picture in pictures}
    lines += [*_figure(by_name.get("final")), *_table(tables.results(report))]
    if (differences := tables.comparisons(report)) is not None:
        sentences = [
            f"- {escaped(comparison_sentence(c, report.measure))}" for c in report.comparisons
        ]
        lines += [*_table(differences), *sentences, ""]
    lines += [*_figure(by_name.get("curves")), *_table(tables.speed(report))]
    lines += _figure(by_name.get("gap"))
    for table in (tables.troubles(report), tables.settings(report)):
        lines += _table(table) if table is not None else []
    if report.common:
        common = " ".join(f"{setting}" for setting in report.common)
        lines += ["## Common settings", "", escaped(common), ""]
    lines += _table(tables.runs(report))
    lines += ["## How to read this", "", *(f"- {line}" for line in explanations(report)), ""]
    lines += ["---", "", *(f"- {escaped(line)}" for line in provenance.lines())]
    return "\n".join(lines) + "\n"


def _figure(picture: Picture | None) -> list[str]:
    if picture is None:
        return []
    return [f"![{escaped(picture.alt)}]({picture.name}.png)", "", escaped(picture.caption), ""]


def _table(table: Table) -> list[str]:
    rules = ["---" if n < table.texts else "---:" for n in range(len(table.columns))]
    rows = [[escaped(cell) for cell in row] for row in [table.columns, *table.rows]]
    rows.insert(1, rules)
    lines = [f"## {escaped(table.title)}", "", *(f"| {' | '.join(row)} |" for row in rows), ""]
    return [*lines, escaped(table.note), ""] if table.note else lines
