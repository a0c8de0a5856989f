"""The numbers behind the charts of report.html, for report.js to draw."""

import html
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from trainer.report import curves, search
from trainer.report.analysis import Report
from trainer.report.curves import Line
from trainer.report.groups import Group


def data(report: Report) -> dict[str, Any]:
    """What each chart shows, by its name; plain values.

    `final` and `gap` have a row per group: `label`, `text` on its right, and values on the axis
    named `axis`. `curves` has `panels`, `labels` of the groups and their `lines`. `search` has its
    trials in order. Values are on the axis's scale.
    """
    by = report.measure
    finished = [group for group in report.shown if group.final]
    return {
        "final": {"axis": f"final {report.images} {by.axis}", "rows": _final(report, finished)},
        "gap": {"axis": by.axis, "images": report.images, "rows": _gap(report, finished)},
        "curves": {
            "panels": [
                {"title": title, "kind": metric.rpartition("/")[2]}
                for metric, title in curves.panels(report).items()
            ],
            "labels": [
                _literal(g.label) + ("" if g.finished else " (unfinished)") for g in report.shown
            ],
            "lines": [_line(line) for line in curves.lines(report)],
            "lowest": None if (low := curves.lowest_shown(report)) is None else 100 * low,
            "logarithmic": not by.higher,
        },
        "search": _search(report),
    }


def _final(report: Report, groups: Sequence[Group]) -> list[dict[str, Any]]:
    by = report.measure
    return [
        {
            "label": _literal(group.label),
            "text": by.mean_and_sd(group.final),
            "values": [by.scale * value for value in group.by_seed(lambda run: run.final).values()],
            "seeds": [_literal(seed) for seed in group.by_seed(lambda run: run.final)],
            "mean": group.final and by.scale * group.final.mean,
            "interval": [by.scale * end for end in by.ends(group.final) or ()],
        }
        for group in groups
    ]


def _gap(report: Report, groups: Sequence[Group]) -> list[dict[str, Any]]:
    by = report.measure
    return [
        {
            "label": _literal(group.label),
            "text": by.difference(group.gap.mean, sign=True),
            "values": [by.scale * group.final.mean, by.scale * group.train.mean],
        }
        for group in groups
        if group.gap and group.final and group.train
    ]


def _line(line: Line) -> dict[str, Any]:
    return {k: _short(v) if isinstance(v, list) else v for k, v in asdict(line).items()}


def _search(report: Report) -> dict[str, Any]:
    trials, by = search.trials(report), report.measure
    best = search.best_so_far(trials, higher=by.higher)
    return {
        "axis": f"{report.number.removesuffix(by.name)}{by.axis}",
        "numbers": [trial.number for trial in trials],
        "labels": [_literal(trial.label) for trial in trials],
        "values": [by.scale * trial.value for trial in trials],
        "best": [by.scale * value for value in best],
        "lrs": [trial.lr for trial in trials],
    }


def _literal(text: object) -> str:
    """A text in which plotly, which knows a few tags, finds none."""
    return html.escape(str(text), quote=False)


def _short(values: Sequence[float]) -> list[float]:
    """Six digits are more than a chart can show, and half the bytes."""
    return [float(f"{value:.6g}") for value in values]
