"""`python -m trainer.evaluate`: how good a trained model is, class by class."""

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # files are replaced whole: nothing to save

import json
import sys
from pathlib import Path

from trainer.cli import console
from trainer.cli.command import Parser, framed, leave
from trainer.inference.places import WEIGHTS, resolve
from trainer.inference.settings import PLUGINS, load_plugins, use_values
from trainer.storage import files, run_folder

EXAMPLES = """\
examples:
  python -m trainer.evaluate outputs/2026-11-21/10-00-00
  python -m trainer.evaluate outputs/2026-11-21/10-00-00 --split train --weights last
  python -m trainer.evaluate outputs/sweeps/2026-11-21_10-00-00 --json device=cpu

RUN is a run folder, a checkpoint or a sweep's folder (its best run). key=value may be device, amp,
data.root, data.download and data.url. Writes evaluation.json, confusion.png, reliability.png and a
TensorBoard file into RUN/evaluation/<split>_<weights>, of a checkpoint <split>_<its name>; the run
itself is not touched."""


@framed
def main(arguments: list[str]) -> int:
    """Evaluates, prints and writes; returns the exit code."""
    parser = Parser(
        "evaluate",
        "RUN [--split SPLIT] [--weights WHICH] [--json] [--out FOLDER] [key=value ...]",
        "Loss, accuracy, per-class precision and recall, calibration and confusion of a model.",
        EXAMPLES,
    )
    splits = ("test", "val", "train")
    parser.add_argument("--split", choices=splits, default="test", help="images (default: test)")
    parser.add_argument("--weights", choices=WEIGHTS, help="default: best, where there are some")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write there instead")
    parser.add_argument("--plugins", metavar="MODULE,...", help=PLUGINS)
    words = parser.read(arguments)
    load_plugins(words.flags.plugins)
    if len(words.paths) != 1:
        raise ValueError("name one run folder, checkpoint or sweep; --help shows the usage")
    place = resolve(Path(words.paths[0]), words.flags.weights)
    values = use_values(words.overrides)
    from trainer.inference import record  # torch takes seconds
    from trainer.inference.evaluated import evaluate
    from trainer.inference.trained import load_trained

    split = words.flags.split
    folder = None
    if place.folder is not None or words.flags.out is not None:
        folder = place.result_folder(
            f"{run_folder.EVALUATION}/{split}_{place.label}", words.flags.out
        )
    result = evaluate(load_trained(place, values), split)
    found = result.values()
    text = json.dumps(found, indent=2) if words.flags.json else "\n".join(result.lines())
    printed = console.say(text, sys.stdout)
    if folder is not None:  # behind the results: a folder that is not ours costs no evaluation
        files.make_folder(folder.absolute())
        name = result.trained.config.name or result.trained.config.model.name
        record.write(folder, found, result.scores, title=f"{name}, {split} images")
        if not words.flags.json:
            printed = console.say(f"written: {folder}", sys.stdout) and printed
    return 0 if printed else 1


if __name__ == "__main__":
    leave(main())
