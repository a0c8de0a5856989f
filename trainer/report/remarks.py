"""What a reader must know before believing the numbers."""

from collections.abc import Sequence

from trainer.cli.words import count
from trainer.report.analysis import Report
from trainer.report.groups import Group, written
from trainer.report.runs import Run
from trainer.report.sentences import splits
from trainer.report.words import counted, joined_range, listed

# What a run was made with, and several of it, where those change results.
MADE_WITH = {
    "trainer": ("trainer", ""),
    "torch": ("torch", "torch versions"),
    "torchvision": ("torchvision", ""),
    "python": ("Python", ""),
    "device": ("device", "devices"),
    "precision": ("precision", "precisions"),
    "data": ("data SHA-256", "data (SHA-256)"),
    "commit": ("commit", "commits of the code"),
}


def warnings(report: Report) -> list[str]:
    """Everything that weakens a comparison, most serious first."""
    finished = [run for run in report.runs if run.finished]
    lines = [*_circumstances(finished), *_lengths(report), *_splits(report)]
    runs = count(len(report.runs), "run")
    unfinished = [run.status for run in report.runs if run.status != "done"]
    if unfinished:
        lines.append(
            f"{len(unfinished)} of {runs} did not finish ({counted(unfinished)}): shown, but in no "
            "mean."
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


def _circumstances(finished: Sequence[Run]) -> list[str]:
    return [
        f"Made with different {several}: {listed(values)}."
        for key, (_, several) in MADE_WITH.items()
        if several and len(values := _values(finished, key)) > 1
    ]


def _values(runs: Sequence[Run], key: str) -> list[str]:
    """The different ones; of a hash its beginning."""
    values = dict.fromkeys(run.made_with[key] for run in runs if key in run.made_with)
    return [value[:12] if key in ("data", "commit") else value for value in values]


def _lengths(report: Report) -> list[str]:
    lengths = {length for group in report.ranked for length in group.lengths}
    if len(lengths) < 2:
        return []
    epochs, steps = (joined_range(list(numbers)) for numbers in zip(*lengths, strict=True))
    return [
        f"Runs of different length: {epochs} epochs, {steps} steps. A longer run has had more "
        "training."
    ]


def _splits(report: Report) -> list[str]:
    if len({group.split for group in report.ranked}) < 2:
        return []
    return [
        f"Evaluated on different images: {splits(report)}. Those are not compared with each other."
    ]


def _curves_differ(group: Group) -> bool:
    """Whether runs of a group had different LRs, a plateau's aside, which follow the metrics."""
    settings = group.runs[0].settings
    if any(k.startswith("scheduler.") and "plateau" in written(v) for k, v in settings.items()):
        return False
    curves = [run.lr for run in group.finished if run.lr is not None]
    return any(curve != curves[0] for curve in curves)


def made_with(runs: Sequence[Run]) -> list[str]:
    """What the runs were made with, a fact a line."""
    return [
        f"Runs: {name} {listed(values)}"
        for key, (name, _) in MADE_WITH.items()
        if (values := _values(runs, key))
    ]
