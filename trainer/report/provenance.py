"""How a report was made, and what its runs were made with."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from trainer import __version__
from trainer.report.analysis import Report
from trainer.report.wording import listed

NAMES = {
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


@dataclass(frozen=True, slots=True)
class Provenance:
    """What stands at the bottom.

    Attributes:
        command: The command line that makes the report again.
        date: When it was made, local time.
        made_with: What the runs were made with, `name: values`.
    """

    command: str
    date: str
    made_with: list[str]

    def lines(self) -> list[str]:
        """One fact a line."""
        return [
            f"Made with trainer {__version__} on {self.date}: {self.command}",
            *(f"Runs: {line}" for line in self.made_with),
        ]


def provenance(report: Report, arguments: Sequence[str], date: str) -> Provenance:
    """Collects it.

    Args:
        report: The report.
        arguments: Those of the command.
        date: As it is to be written.
    """
    made_with: list[str] = []
    for key, name in NAMES.items():
        values = dict.fromkeys(r.made_with[key] for r in report.runs if key in r.made_with)
        if values:
            short = [value[:12] if key in HASHES else value for value in values]
            made_with.append(f"{name} {listed(short)}")
    return Provenance(shlex.join(["python", "-m", "trainer.report", *arguments]), date, made_with)
