"""`python -m trainer.export`: a trained model as a file that other programs run.

examples:
  python -m trainer.export outputs/2026-11-21/10-00-00
  python -m trainer.export outputs/2026-11-21/10-00-00 --format torch --out deployed

RUN is a run folder, a checkpoint or a sweep's folder (its best run). Writes model.onnx and
model.pt2 into RUN/export: images uint8 (N, 3, 32, 32) in RGB go in, logits and probabilities
(N, classes) in float32 come out; the normalisation is inside, the class names are in the metadata.
Each file is run on 100 images and compared with the model before it is written.
"""  # noqa: D405  # the help is printed as it stands

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # files are replaced whole: nothing to save

import importlib.util
from pathlib import Path

from trainer.cli.command import framed, leave, show
from trainer.inference.arguments import ModelParser
from trainer.storage import folders, run_folder

FILES = {"onnx": "model.onnx", "torch": "model.pt2"}
NEEDED = ("onnx", "onnxscript", "onnxruntime")


@framed
def main(arguments: list[str]) -> int:
    """Exports, checks and prints; returns the exit code."""
    parser = ModelParser(
        "export",
        "RUN [--format FORMAT] [--weights WHICH] [--out FOLDER] [data.root=FOLDER]",
        "Writes a trained model as ONNX and torch.export files, checked.",
        __doc__,
    )
    parser.add_argument(
        "--format", choices=(*FILES, "both"), default="both", help="default: %(default)s"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write there instead")
    request = parser.request(arguments)
    flags, place = request.flags, request.place
    for key in request.values:
        if not key.startswith("data."):
            raise ValueError(f"{key}: an exported model is fp32, from the CPU")
    kinds = {k: n for k, n in FILES.items() if flags.format in (k, "both")}
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if "onnx" in kinds and missing:
        raise ValueError(
            f"--format onnx: needs {', '.join(missing)}: pip install 'lr-trainer[export]'; "
            "--format torch needs nothing more"
        )
    folder = place.result_folder(run_folder.EXPORT, flags.out)
    if folder is None:
        raise ValueError(f"{place.path}: lies in no run folder; --out FOLDER says where to")
    folders.check_writable(folder)
    from trainer.inference.exported import export  # torch takes seconds
    from trainer.inference.trained import load_trained

    trained = load_trained(place, request.values | {"device": "cpu", "amp": "none"})
    return show("\n".join([*trained.head(), *export(trained, kinds, folder)]))


if __name__ == "__main__":
    leave(main())
