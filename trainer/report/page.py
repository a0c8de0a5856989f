"""report.html and report.md, out of their templates: every text that goes in is escaped."""

import base64
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trainer.cli.words import count
from trainer.report import tables
from trainer.report.analysis import Report
from trainer.report.figures import Picture
from trainer.report.remarks import warnings
from trainer.report.sentences import comparison_sentence, headline
from trainer.report.words import joined_range

NO_BREAK = "\N{NO-BREAK SPACE}"


def escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    text = re.sub(r"([\\`*\[\]<>|~&#])", r"\\\1", text)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def unbroken(text: str) -> str:
    """A text whose numbers stay with their units."""
    return re.sub(r"(?<=\d) (?=%)|(?<=\b[pn]) (?=[=<])|(?<=[=<]) ", NO_BREAK, text)


def render(
    report: Report, pictures: Sequence[Picture], origin: Sequence[str], date: str
) -> dict[str, str]:
    """Both documents, by file name; for Markdown the pictures lie beside it.

    Args:
        report: What they say.
        pictures: Its figures.
        origin: How it and its runs were made, in lines.
        date: When it was made.
    """
    by = report.measure
    explanations = _environment(False).get_template("explanations.j2").render(report=report)
    context: dict[str, Any] = {
        "report": report,
        "answer": headline(report),
        "warnings": warnings(report),
        "facts": _facts(report),
        "sentences": [comparison_sentence(each, by) for each in report.comparisons],
        "tables": tables.of(report),
        "pictures": dict.fromkeys(("final", "curves", "gap"))
        | {picture.name: picture for picture in pictures},
        "explanations": explanations.splitlines(),
        "origin": origin,
        "date": date,
        "counts": f"{count(len(report.runs), 'run')} in {count(len(report.groups), 'group')}",
    }
    html, markdown = _environment(True, unbroken), _environment(False, escaped)
    return {
        "report.html": html.get_template("page.html.j2").render(context),
        "report.md": markdown.get_template("page.md.j2").render(context),
    }


def _environment(html: bool, written: Callable[[str], str] = str) -> Environment:
    """Templates whose inserted texts go through `written`, and for HTML are then escaped."""

    def finalize(value: Any) -> Any:
        return value if isinstance(value, Markup) else written(str(value))

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=html,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["base64"] = _base64
    return made


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _facts(report: Report) -> dict[str, str]:
    """The few numbers one looks for first."""
    leader, by = report.leader, report.measure
    if leader is None or leader.final is None:
        return {}
    facts = {f"{report.number.capitalize()}, {by.best} mean": by.value(leader.final.mean)}
    if same := [c.difference for c in report.comparisons if c.same_split]:
        ahead = f"Points {by.ahead} the next" if by.higher else "Ahead of the next by"
        facts[ahead] = by.difference(min(same), sign=True)
    facts["Seeds per group"] = joined_range([group.seeds for group in report.ranked])
    done = sum(run.status == "done" for run in report.runs)
    return facts | {"Runs finished": f"{done} of {len(report.runs)}"}
