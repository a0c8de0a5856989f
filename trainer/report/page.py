"""report.html: one file, nothing from elsewhere, nothing in it runs."""

import base64
import html
import re
from collections.abc import Sequence

from trainer.cli.words import count
from trainer.report import tables
from trainer.report.analysis import Report
from trainer.report.figures import Picture
from trainer.report.provenance import Provenance
from trainer.report.remarks import explanations, warnings
from trainer.report.sentences import comparison_sentence, headline, measure
from trainer.report.stylesheet import STYLESHEET
from trainer.report.tables import Table
from trainer.report.wording import joined_range

NARROW = "(max-width: 640px)"  # as in the stylesheet
# Should a text ever get past `html.escape`, the browser still runs and fetches nothing.
NO_BREAK = "\N{NO-BREAK SPACE}"
MOST_SENTENCES = 5  # more are folded away under their table
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def text(report: Report, pictures: Sequence[Picture], provenance: Provenance) -> str:
    """The whole page."""
    answer = headline(report)
    by_name = {picture.name: picture for picture in pictures}
    body = [
        _kicker(report, provenance),
        f"<h1>{written(answer.title)}</h1>",
        f'<p class="lead">{written(answer.text)}</p>',
        _tiles(report),
        _warnings(warnings(report)),
        _figure_section(by_name.get("final")),
        _table_section(tables.results(report), lead=report.leader is not None),
        _comparisons(report),
        _figure_section(by_name.get("curves")),
        _table_section(tables.speed(report), lead=report.leader is not None),
        _figure_section(by_name.get("gap")),
        _table_section(tables.troubles(report)),
        _table_section(tables.settings(report)),
        _common(report),
        _details(tables.runs(report)),
        _explanations(report),
        _footer(provenance),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{written(answer.title)}</title>\n<style>\n{STYLESHEET}</style>\n</head>\n"
        "<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def written(text: str) -> str:
    """A text as HTML shows it; numbers stay with their units."""
    return html.escape(re.sub(r"(?<=\d) (?=%)|(?<=\b[pn]) (?=[=<])|(?<=[=<]) ", NO_BREAK, text))


def _kicker(report: Report, provenance: Provenance) -> str:
    runs, groups = count(len(report.runs), "run"), count(len(report.groups), "group")
    date = f"<span>{written(provenance.date)}</span>"
    return f'<p class="kicker">Which one should I take? {runs} in {groups}, {date}</p>'


def _tiles(report: Report) -> str:
    """The few numbers one looks for first."""
    leader = report.leader
    if leader is None or leader.final is None:
        return ""
    by = report.measure
    facts = [(f"{measure(report).capitalize()}, {by.best} mean", by.value(leader.final.mean))]
    same = [c for c in report.comparisons if c.same_split]
    if same:
        ahead = by.difference(min(c.difference for c in same), sign=True)
        facts.append(
            (f"Points {by.ahead} the next" if by.higher else "Ahead of the next by", ahead)
        )
    facts.append(("Seeds per group", joined_range([g.seeds for g in report.ranked])))
    done = sum(run.status == "done" for run in report.runs)
    facts.append(("Runs finished", f"{done} of {len(report.runs)}"))
    cells = [f"<div><dt>{written(k)}</dt><dd>{written(v)}</dd></div>" for k, v in facts]
    return f'<dl class="tiles">{"".join(cells)}</dl>'


def _warnings(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return f'<aside class="warnings"><h2>Before believing it</h2>{_list(lines)}</aside>'


def _list(lines: Sequence[str], kind: str = "") -> str:
    opening = f'<ul class="{kind}">' if kind else "<ul>"
    return f"{opening}{''.join(f'<li>{written(line)}</li>' for line in lines)}</ul>"


def _figure_section(picture: Picture | None) -> str:
    if picture is None:
        return ""
    return (
        f"<section><h2>{written(picture.title)}</h2><figure><picture>"
        f'<source media="{NARROW}" srcset="{_inline(picture.svg(narrow=True))}">'
        f'<img class="paper" alt="{written(picture.alt)}" '
        f'src="{_inline(picture.svg(narrow=False))}"></picture>'
        f"<figcaption>{written(picture.caption)}</figcaption></figure></section>"
    )


def _inline(svg: bytes) -> str:
    # As an image, not as part of the page: no script can run in it and its names stay its own.
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _table_section(table: Table | None, *, lead: bool = False, after: str = "") -> str:
    if table is None:
        return ""
    note = f'<p class="note">{written(table.note)}</p>' if table.note else ""
    return (
        f"<section><h2>{written(table.title)}</h2>{note}{_table(table, lead=lead)}{after}</section>"
    )


def _table(table: Table, *, lead: bool = False) -> str:
    heads = [
        f"<th{_kind(table, n)} scope=col>{written(c)}</th>" for n, c in enumerate(table.columns)
    ]
    rows: list[str] = []
    for number, row in enumerate(table.rows):
        first = f'<th class="text" scope=row>{written(row[0])}</th>'
        cells = [f"<td{_kind(table, n)}>{written(c)}</td>" for n, c in enumerate(row) if n]
        mark = ' class="first"' if lead and number == 0 else ""
        rows.append(f"<tr{mark}>{first}{''.join(cells)}</tr>")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{written(table.title)}">'
        f"<table><thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _kind(table: Table, column: int) -> str:
    if column >= table.texts:
        return ""
    last = column == table.texts - 1 and column > 0 and table.texts == len(table.columns)
    return ' class="text long"' if last else ' class="text"'


def _comparisons(report: Report) -> str:
    sentences = [comparison_sentence(c, report.measure) for c in report.comparisons]
    after = _list(sentences, "readings")
    if len(sentences) > MOST_SENTENCES:
        after = f'<details class="inner"><summary>In words</summary>{after}</details>'
    return _table_section(tables.comparisons(report), after=after)


def _common(report: Report) -> str:
    if not report.common:
        return ""
    items = "".join(f"<li><code>{written(setting)}</code></li>" for setting in report.common)
    return f'<section><h2>Common settings</h2><ul class="settings">{items}</ul></section>'


def _details(table: Table) -> str:
    return f"<details><summary>{written(table.title)}</summary>{_table(table)}</details>"


def _explanations(report: Report) -> str:
    return f"<section><h2>How to read this</h2>{_list(explanations(report), 'readings')}</section>"


def _footer(provenance: Provenance) -> str:
    return f"<footer>{_list(provenance.lines())}</footer>"
