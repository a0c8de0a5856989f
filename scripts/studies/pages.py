"""The study's pages: a report for each question, and study.md in front of them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from studies.reuse import Accepted
from studies.wanted import SECTIONS, Section, is_label
from trainer.report.write import report
from trainer.storage import run_folder
from trainer.training.code_hash import code_sha256

HOW = """\
Each run has all its epochs, and at every step the LR that its schedule gives today.
`run`: trained for this. `hash`: the present code made it. `replay`: older code did; the present
code trained its first epoch again, equal to the last bit. `unproven`: older code made it, and no
epoch was trained again. Seconds are those of a machine that may have done other work."""


def write(accepted: Sequence[Accepted], missing: Sequence[str], links: Path, output: Path) -> None:
    """Writes the reports, the raw metrics, and a page that says where they are from.

    Args:
        accepted: The runs.
        missing: Those that are not there, in words.
        links: A folder for links to the run folders under their names. Those of an earlier study
            are removed.
        output: Where to write. Metrics of an earlier study are removed from `metrics/`.
    """
    for link in links.glob("*/*"):
        if link.is_symlink():
            link.unlink()
    metrics = output / "metrics"
    metrics.mkdir(parents=True, exist_ok=True)
    for path in metrics.glob("*.jsonl"):
        if is_label(path.stem):
            path.unlink()
    text = ["# The study", ""]
    for section in SECTIONS:
        text += _section(section, accepted, links / (section.folder or "schedules"), output)
    text += ["## Runs", "", *_table(accepted), "", HOW, "", f"Present code: {code_sha256()}.", ""]
    if missing:
        text += [f"Not there, or not proven: {', '.join(missing)}.", ""]
    for one in accepted:
        shutil.copy(one.run.folder / run_folder.METRICS, metrics / f"{one.wanted.label}.jsonl")
    (output / "study.md").write_text("\n".join(text))


def _section(
    section: Section, accepted: Sequence[Accepted], links: Path, output: Path
) -> list[str]:
    there = [one for one in accepted if one.wanted.name in section.runs]
    names = {one.wanted.name for one in there}
    if not there or (section.asks and not names & {*section.asks}):
        return []
    links.mkdir(parents=True, exist_ok=True)
    for one in there:
        link = links / one.wanted.label
        link.symlink_to(one.run.folder.resolve(), target_is_directory=True)
    folder = output / section.folder
    shown = [f"outputs/study/{links.parent.name}/{links.name}", "--output"]
    shown += [str(Path("docs/results/study", section.folder))]
    said = report([links], folder, arguments=shown).lines()
    table = folder / "report.csv"
    folders = {str(one.run.folder.resolve()): one.wanted.label for one in there}
    for own in sorted(folders, key=len, reverse=True):  # where a run lay is nobody's business
        table.write_text(table.read_text().replace(own, folders[own]))
    print("\n".join([section.question, *said, ""]), flush=True)
    where = Path(section.folder)
    return [
        f"## {section.question}",
        "",
        "```",
        *said[:-2],
        "```",
        "",
        f"![curves]({where / 'curves.png'})",
        "",
        f"The [report]({where / 'report.md'}); "
        f"[the same as a page of its own]({where / 'report.html'}).",
        "",
    ]


def _table(accepted: Sequence[Accepted]) -> list[str]:
    text = [
        "| `python -m trainer` ... | train | test | best test | seconds | made on | counts by |",
        "| --- | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for one in accepted:
        rows, made_with = one.run.rows, one.run.summary
        best = max(row["test/accuracy"] for row in rows)
        made = "{device}, {precision}, torch {torch}".format_map(made_with)
        text.append(
            f"| `{' '.join(one.wanted.overrides)}` | {rows[-1]['train/accuracy']:.2%} "
            f"| {rows[-1]['test/accuracy']:.2%} | {best:.2%} | {made_with['seconds']:.0f} "
            f"| {made} | {one.how} |"
        )
    return text
