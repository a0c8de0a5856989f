"""report.html and report.md, out of their templates: every text that goes in is escaped."""

import base64
import gzip
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from trainer.cli.words import count
from trainer.report import charts, tables
from trainer.report.analysis import Report
from trainer.report.captions import captions
from trainer.report.remarks import warnings
from trainer.report.sentences import comparison_sentence, headline
from trainer.report.words import joined_range

NO_BREAK = "\N{NO-BREAK SPACE}"
HERE = Path(__file__).parent


def escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    text = re.sub(r"([\\`*\[\]<>|~&#])", r"\\\1", text)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def unbroken(text: str) -> str:
    """A text whose numbers stay with their units."""
    return re.sub(r"(?<=\d) (?=%)|(?<=\b[pn]) (?=[=<])|(?<=[=<]) ", NO_BREAK, text)


def render(
    reports: Sequence[Report], origin: Sequence[str], date: str, folder: Path
) -> dict[str, str]:
    """Both documents, by file name.

    Args:
        reports: What they say, a part each.
        origin: How they and their runs were made, in lines.
        date: When they were made.
        folder: Where they will lie; the PNG files lie beside them.
    """
    explain = _environment(False).get_template("explanations.j2")
    lines = [line for each in reports for line in explain.render(report=each).splitlines()]
    runs = count(sum(len(report.runs) for report in reports), "run")
    groups = count(sum(len(report.groups) for report in reports), "group")
    script, plotly = (HERE / "report.js").read_text(encoding="utf-8"), get_plotlyjs()
    context: dict[str, Any] = {
        "parts": [_part(report, number) for number, report in enumerate(reports, 1)],
        "explanations": dict.fromkeys(lines),
        "origin": origin,
        "date": date,
        "counts": f"{runs} in {groups}",
        "script": Markup(script),
        "plotly": base64.b64encode(gzip.compress(plotly.encode(), mtime=0)).decode(),
        "hashes": [_hash(script), _hash(plotly)],
        "link": partial(_link, folder=folder),
    }
    html, markdown = _environment(True, unbroken), _environment(False, escaped)
    return {
        "report.html": html.get_template("page.html.j2").render(context),
        "report.md": markdown.get_template("page.md.j2").render(context),
    }


def file_name(figure: str, part: int) -> str:
    """The PNG file of a figure; of the first part, or the only one, it is called as the figure."""
    return f"{figure}.png" if part == 1 else f"{figure}_{part}.png"


def _link(run: Path, folder: Path) -> str:
    """The address of a run folder, seen from where the page lies."""
    return quote(Path(os.path.relpath(run, folder)).as_posix())


def _part(report: Report, number: int) -> dict[str, Any]:
    told = report.told
    return {
        "number": number,
        "report": report,
        "answer": headline(report),
        "warnings": warnings(report),
        "facts": _facts(report),
        "sentences": [comparison_sentence(each, report.measure) for each in told],
        "tables": tables.of(report),
        "captions": captions(report),
        "files": {name: file_name(name, number) for name in captions(report)},
        "data": charts.data(report),
    }


def _environment(html: bool, written: Callable[[str], str] = str) -> Environment:
    """Templates whose inserted texts go through `written`, and for HTML are then escaped."""

    def finalize(value: Any) -> Any:
        return value if isinstance(value, Markup) else written(str(value))

    return Environment(
        loader=FileSystemLoader(HERE),
        autoescape=html,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _hash(script: str) -> str:
    """The source that the page's policy lets run: nothing but these scripts."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


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
