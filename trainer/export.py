"""`python -m trainer.export`: a trained model as a file that other programs run."""

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # files are replaced whole: nothing to save

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from trainer.cli.command import Parser, framed, leave, show
from trainer.inference.places import WEIGHTS, resolve
from trainer.inference.settings import PLUGINS, load_plugins, use_values
from trainer.storage import folders, run_folder

EXAMPLES = """\
examples:
  python -m trainer.export outputs/2026-11-21/10-00-00
  python -m trainer.export outputs/2026-11-21/10-00-00 --format torch --out deployed

RUN is a run folder, a checkpoint or a sweep's folder (its best run). Writes model.onnx and
model.pt2 into RUN/export: images uint8 (N, 3, 32, 32) in RGB go in, logits and probabilities
(N, classes) in float32 come out; the normalisation is inside, the class names are in the metadata.
Each file is run on 100 images and compared with the model before it is written."""
FILES = {"onnx": "model.onnx", "torch": "model.pt2"}
NEEDED = ("onnx", "onnxscript", "onnxruntime")


@framed
def main(arguments: list[str]) -> int:
    """Exports, checks and prints; returns the exit code."""
    parser = Parser(
        "export",
        "RUN [--format FORMAT] [--weights WHICH] [--out FOLDER] [data.root=FOLDER]",
        "Writes a trained model as ONNX and torch.export files, checked.",
        EXAMPLES,
    )
    parser.add_argument(
        "--format", choices=(*FILES, "both"), default="both", help="default: %(default)s"
    )
    parser.add_argument("--weights", choices=WEIGHTS, help="default: best, where there are some")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write there instead")
    parser.add_argument("--plugins", metavar="MODULE,...", help=PLUGINS)
    words = parser.read(arguments)
    load_plugins(words.flags.plugins)
    if len(words.paths) != 1:
        raise ValueError("name one run folder, checkpoint or sweep; --help shows the usage")
    place = resolve(Path(words.paths[0]), words.flags.weights)
    values = use_values(words.overrides)
    for key in values:
        if not key.startswith("data."):
            raise ValueError(f"{key}: an exported model is fp32, from the CPU")
    kinds = {k: n for k, n in FILES.items() if words.flags.format in (k, "both")}
    check_packages(kinds)
    folder = place.result_folder(run_folder.EXPORT, words.flags.out)
    folders.check_writable(folder)
    from trainer.inference.deployed import export  # torch takes seconds
    from trainer.inference.trained import load_trained

    trained = load_trained(place, values | {"device": "cpu", "amp": "none"})
    head = [trained.title(), *(f"note: {note}" for note in trained.notes)]
    text = "\n".join([*head, *export(trained, kinds, folder)])
    return show(text)


def check_packages(kinds: Sequence[str] | dict[str, str]) -> None:
    """Raises ValueError if a format needs a package that is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if "onnx" in kinds and missing:
        raise ValueError(
            f"--format onnx: needs {', '.join(missing)}: pip install 'lr-trainer[export]'; "
            "--format torch needs nothing more"
        )


if __name__ == "__main__":
    leave(main())
