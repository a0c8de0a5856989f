"""`python -m trainer.predict`: what a trained model takes image files for.

examples:
  python -m trainer.predict outputs/2026-11-21/10-00-00 cat.jpg dog.png
  python -m trainer.predict outputs/2026-11-21/10-00-00 photos --csv photos.csv
  python -m trainer.predict outputs/2026-11-21/10-00-00 photos 'more/**/*.png' --top 5 --json

RUN is a run folder, a checkpoint or a sweep's folder (its best run). IMAGE is a file, a folder or a
pattern. An image may have any size and mode but 32-bit grey: of an animation the first frame,
transparent pixels over white, turned as EXIF says; its centre square is resized to 32x32
(antialiased, bilinear), and one of 32x32 pixels stays as it is. Computes in fp32 like an exported
model; amp=bf16 asks for less. Files that cannot be read are named, the others are predicted, and
the exit code is 1.
"""  # noqa: D405  # the help is printed as it stands

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # files are replaced whole: nothing to save

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.cli import console
from trainer.cli.command import framed, leave, show
from trainer.cli.words import percent
from trainer.inference.arguments import ModelParser
from trainer.storage import files

SHOWN = 3  # classes of an image, where nobody says how many
Likely = Sequence[tuple[str, float]]
"""Class and probability, most probable first."""


@framed
def main(arguments: list[str]) -> int:
    """Predicts, prints and writes; returns the exit code."""
    parser = ModelParser(
        "predict",
        "RUN IMAGE... [--top K] [--weights WHICH] [--json] [--csv FILE] [key=value ...]",
        "The classes that a trained model takes image files for, most probable first.",
        __doc__,
    )
    parser.add_argument(
        "--top", type=int, metavar="K", help="classes shown (default: 3, or all where they are two)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a row per image, too")
    request = parser.request(arguments, takes_images=True)
    import torch  # takes seconds

    from trainer.inference.images import find_images, printable, read_image
    from trainer.inference.trained import load_trained

    flags, pictures, unread = request.flags, [], 0
    for path in (paths := find_images(request.images)):
        try:
            pictures.append(read_image(path))
        except OSError as error:
            console.say(str(error), sys.stderr)
            unread += 1
    failure = f"{unread} of {len(paths)} image files cannot be read"
    if not pictures:
        raise OSError(f"{failure}; nothing was predicted")
    trained = load_trained(request.place, {"amp": "none"} | request.values)
    top = min(SHOWN, len(trained.classes)) if flags.top is None else flags.top
    likely = trained.most_probable(torch.stack([picture.pixels for picture in pictures]), top)
    if flags.json:
        found = [values(p.path, p.size, each) for p, each in zip(pictures, likely, strict=True)]
        text = json.dumps({"checkpoint": str(trained.source.path), "images": found}, indent=2)
    else:
        names = [printable(picture.path) for picture in pictures]
        text = "\n".join([*trained.head(), *lines(names, likely)])
    code = show(text)
    if flags.csv is not None:
        table = csv_text([picture.path for picture in pictures], likely)
        files.write(flags.csv, table.encode(errors="surrogateescape"))  # a name may be any bytes
        if not flags.json:
            code = show(f"written: {flags.csv}") or code
    if unread:
        raise OSError(f"{failure}; the others were predicted")
    return code


def values(path: Path, size: tuple[int, int], likely: Likely) -> dict[str, Any]:
    """An image, of so many columns and rows, as plain values."""
    predictions = [{"class": name, "probability": share} for name, share in likely]
    return {"file": str(path), "size": list(size), "predictions": predictions}


def lines(names: Sequence[str], likely: Sequence[Likely]) -> list[str]:
    """One line per image; the names are below one another."""
    width = min(max(map(len, names)), 60)
    return [
        f"{name:<{width}}  " + "  ".join(f"{label} {percent(share, 1)}" for label, share in each)
        for name, each in zip(names, likely, strict=True)
    ]


def csv_text(paths: Sequence[Path], likely: Sequence[Likely]) -> str:
    """Columns file, class, probability, and two more for each runner-up; exact decimals."""
    pairs = range(1, len(likely[0]) + 1)
    head = [f"{name}_{n}" if n > 1 else name for n in pairs for name in ("class", "probability")]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", *head])
    for path, each in zip(paths, likely, strict=True):
        writer.writerow([path, *(cell for pair in each for cell in pair)])
    return buffer.getvalue()


if __name__ == "__main__":
    leave(main())
