"""Collects finished recipe runs: copies their metrics, writes a table and a picture.

Usage: python scripts/recipe_table.py FOLDER     (FOLDER holds one run folder per recipe)
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from trainer.plot import save

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results" / "recipes"
ORDER = (
    "constant",
    "steplr",
    "multistep",
    "exponential",
    "warmup_steplr",
    "warmup_multistep",
    "warmup_exponential",
    "warmup_cosine",
)


def main() -> int:
    """Writes docs/results/recipes; returns the exit code."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    RESULTS.mkdir(parents=True, exist_ok=True)
    runs: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = []
    for recipe in ORDER:
        folder = Path(sys.argv[1]) / f"vgg_{recipe}"
        summary = folder / "summary.json"
        if not summary.exists() or json.loads(summary.read_text())["status"] != "done":
            print(f"not run to its end: vgg_{recipe}")
            continue
        shutil.copy(folder / "metrics.jsonl", RESULTS / f"vgg_{recipe}.jsonl")
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        runs.append((recipe, json.loads(summary.read_text()), [json.loads(x) for x in lines]))
    text = table(runs)
    (RESULTS / "table.md").write_text(text)
    print(text)
    draw(runs, RESULTS / "recipes.png")
    return 0


def table(runs: list[tuple[str, dict[str, Any], list[dict[str, Any]]]]) -> str:
    """The last epoch of each run, and the fastest epoch's speed."""
    lines = [
        "| command | train | test | best test | seconds | machine |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for recipe, summary, rows in runs:
        best = max(row["test/accuracy"] for row in rows)
        lines.append(
            f"| `python -m trainer experiment=vgg_{recipe}` "
            f"| {rows[-1]['train/accuracy']:.1%} | {rows[-1]['test/accuracy']:.1%} "
            f"| {best:.1%} | {summary['seconds']:.0f} "
            f"| {summary['device']}, {summary['precision']}, torch {summary['versions']['torch']} |"
        )
    return "\n".join(lines) + "\n"


def draw(runs: list[tuple[str, dict[str, Any], list[dict[str, Any]]]], path: Path) -> None:
    """LR above, test accuracy below, against the epoch."""
    figure = Figure(figsize=(8, 8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for recipe, _, rows in runs:
        epochs = [row["epoch"] for row in rows]
        lrs = [row["lr"] for row in rows]
        above.step([0, *epochs], [*lrs, lrs[-1]], where="post", label=recipe)
        below.plot(epochs, [100 * row["test/accuracy"] for row in rows], label=recipe)
    above.set_ylabel("learning rate")
    above.set_title("The VGG on CIFAR-10, 30 epochs, batch 128, SGD with momentum 0.9")
    below.set_ylabel("test accuracy (%)")
    below.set_xlabel("completed epochs")
    below.set_ylim(bottom=50)
    for axes in (above, below):
        axes.grid(alpha=0.3)
    above.legend()
    save(figure, path)


if __name__ == "__main__":
    sys.exit(main())
