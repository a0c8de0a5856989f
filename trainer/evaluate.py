"""`python -m trainer.evaluate`: how good a trained model is, class by class.

examples:
  python -m trainer.evaluate outputs/2026-11-21/10-00-00
  python -m trainer.evaluate outputs/2026-11-21/10-00-00 --split train --weights last
  python -m trainer.evaluate outputs/sweeps/2026-11-21_10-00-00 --json device=cpu

RUN is a run folder, a checkpoint or a sweep's folder (its best run). key=value may be device, amp,
data.root, data.download and data.url. Writes evaluation.json, confusion.png, reliability.png and a
TensorBoard file into RUN/evaluation/<split>_<weights>, of a checkpoint <split>_<its name>; the run
itself is not touched.
"""  # noqa: D405  # the help is printed as it stands

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # files are replaced whole: nothing to save

import json
from pathlib import Path

from trainer.cli.command import framed, leave, show
from trainer.inference.arguments import ModelParser
from trainer.storage import run_folder


@framed
def main(arguments: list[str]) -> int:
    """Evaluates, prints and writes; returns the exit code."""
    parser = ModelParser(
        "evaluate",
        "RUN [--split SPLIT] [--weights WHICH] [--json] [--out FOLDER] [key=value ...]",
        "Loss, accuracy, per-class precision and recall, calibration and confusion of a model.",
        __doc__,
    )
    splits = ("test", "val", "train")
    parser.add_argument("--split", choices=splits, default="test", help="images (default: test)")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write there instead")
    request = parser.request(arguments)
    from trainer.inference.evaluation import evaluate  # torch takes seconds
    from trainer.inference.trained import load_trained

    place, flags = request.place, request.flags
    found = evaluate(load_trained(place, request.values), flags.split)
    text = json.dumps(found.values(), indent=2) if flags.json else "\n".join(found.lines())
    code = show(text)
    # behind the results: a folder that is not ours costs no evaluation
    folder = place.result_folder(f"{run_folder.EVALUATION}/{flags.split}_{place.label}", flags.out)
    if folder is not None:
        found.write(folder)
        if not flags.json:
            code = show(f"written: {folder}") or code
    return code


if __name__ == "__main__":
    leave(main())
