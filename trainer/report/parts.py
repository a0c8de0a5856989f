"""A folder of mixed runs, divided into what can be compared."""

from collections import defaultdict
from collections.abc import Sequence

from trainer.cli.words import count
from trainer.report.analysis import Report, analyse
from trainer.report.groups import divide
from trainer.report.runs import Run
from trainer.storage.records import plain


def analyse_parts(runs: Sequence[Run], target: float | None = None) -> list[Report]:
    """Compares what can be: runs of the same data, model and epochs; a search on its own.

    Where no such part would hold two groups, the model or the length is what one wants to compare,
    so only the data divide.

    Args:
        runs: As for `analyse`.
        target: As for `analyse`.

    Raises:
        ValueError: As `analyse` does.
    """
    parts = _parts(runs, whole=True)
    if all(len(divide(part)[0]) < 2 for part in parts.values()):
        parts = _parts(runs)
    if len(parts) < 2:
        return [analyse(runs, target)]
    bare = [run for run in runs if not run.settings]  # no telling where they belong
    next(iter(parts.values())).extend(bare)
    return [analyse(part, target, title) for title, part in parts.items()]


def _parts(runs: Sequence[Run], *, whole: bool = False) -> dict[str, list[Run]]:
    """The runs that have a configuration, by data and, for the whole, by model and epochs."""
    parts: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        words = [run.settings.get("data.name")]
        if run.trial is not None:
            words = [f"search {run.folder.resolve().parent.name}"]
        elif whole:
            words += [run.settings.get("model.name")]
            words += [count(run.planned, "epoch")] if run.planned else []
        if run.settings:
            parts[", ".join(plain(word) for word in words if word)].append(run)
    return parts
