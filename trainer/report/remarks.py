"""What a reader must know before believing the numbers."""

from trainer.cli.words import count
from trainer.report.analysis import Report
from trainer.report.groups import Group, written
from trainer.report.runs import Run
from trainer.report.words import listed

# What changes results although the configuration is the same, and how to speak of it.
CIRCUMSTANCES = {
    "data": "different data (SHA-256)",
    "device": "different devices",
    "precision": "different precisions",
    "torch": "different torch versions",
    "commit": "different commits of the code",
}

MADE_WITH = {
    "trainer": "trainer",
    "torch": "torch",
    "torchvision": "torchvision",
    "python": "Python",
    "device": "device",
    "precision": "precision",
    "data": "data SHA-256",
    "commit": "commit",
}

HASHES = ("data", "commit")


def warnings(report: Report) -> list[str]:
    """Everything that weakens a comparison, most serious first."""
    finished = [run for run in report.runs if run.finished]
    lines = [*_circumstances(finished), *_lengths(report), *_splits(report)]
    runs = count(len(report.runs), "run")
    unfinished = [run.status for run in report.runs if run.status != "done"]
    if unfinished:
        by_status = {status: unfinished.count(status) for status in unfinished}
        texts = listed([f"{n} {status}" for status, n in by_status.items()])
        lines.append(
            f"{len(unfinished)} of {runs} did not finish ({texts}): shown, but in no mean."
        )
    if lacking := [run for run in report.runs if run.status == "done" and not run.finished]:
        lines.append(
            f"{len(lacking)} of {runs} finished without the {report.number}: shown, but in no mean."
        )
    for group in report.ranked:
        if group.repeated:
            lines.append(
                f"{group.label}: {count(len(group.finished), 'run')} of "
                f"{count(group.seeds, 'seed')}; runs of the same seed count as one, their mean."
            )
        if _curves_differ(group):
            lines.append(
                f"{group.label}: the LR curves of its runs differ although their configurations "
                "do not (resumed with another length?)."
            )
    for run in report.runs:
        lines += [f"{run.place}: {note}." for note in run.notes]
    return [*lines, *(f"{note[0].upper()}{note[1:]}." for note in report.notes)]


def _circumstances(finished: list[Run]) -> list[str]:
    lines: list[str] = []
    for key, what in CIRCUMSTANCES.items():
        values = list(dict.fromkeys(r.made_with[key] for r in finished if key in r.made_with))
        if len(values) > 1:
            short = [v[:10] if key in HASHES else v for v in values]
            lines.append(f"Made with {what}: {listed(short)}.")
    return lines


def _lengths(report: Report) -> list[str]:
    texts = [
        f"{group.label} "
        + listed([f"{count(e, 'epoch')} of {count(u, 'step')}" for e, u in sorted(lengths)])
        for group in report.ranked
        if (lengths := group.lengths)
    ]
    if len({length for group in report.ranked for length in group.lengths}) < 2:
        return []
    return [f"Runs of different length: {'; '.join(texts)}. A longer run has had more training."]


def _splits(report: Report) -> list[str]:
    if len({group.split for group in report.ranked}) < 2:
        return []
    texts = listed([f"{g.label} on {g.split}" for g in report.ranked])
    return [f"Evaluated on different images: {texts}. Those are not compared with each other."]


def _curves_differ(group: Group) -> bool:
    """Whether runs of a group had different LRs, a plateau's aside, which follow the metrics."""
    settings = group.runs[0].settings
    if any(k.startswith("scheduler.") and "plateau" in written(v) for k, v in settings.items()):
        return False
    curves = [run.lr for run in group.finished if run.lr is not None]
    return any(curve != curves[0] for curve in curves)


def made_with(report: Report) -> list[str]:
    """What the runs were made with, a fact a line."""
    lines: list[str] = []
    for key, name in MADE_WITH.items():
        values = dict.fromkeys(r.made_with[key] for r in report.runs if key in r.made_with)
        short = [value[:12] if key in HASHES else value for value in values]
        lines += [f"Runs: {name} {listed(short)}"] if values else []
    return lines
