"""`python -m trainer.predict`: what a trained model takes image files for."""

from trainer.cli import signals

if __name__ == "__main__":
    signals.end_at_once()  # nothing is written

import json
import sys
from pathlib import Path

from trainer.cli import console
from trainer.cli.command import Parser, framed, leave, show
from trainer.inference.places import WEIGHTS, resolve
from trainer.inference.settings import PLUGINS, load_plugins, use_values

EXAMPLES = """\
examples:
  python -m trainer.predict outputs/2026-11-21/10-00-00 cat.jpg dog.png
  python -m trainer.predict outputs/2026-11-21/10-00-00 photos 'more/**/*.png' --top 5 --json

RUN is a run folder, a checkpoint or a sweep's folder (its best run). IMAGE is a file, a folder or a
pattern. An image may have any size and mode but 32-bit grey: of an animation the first frame,
transparent pixels over white, turned as EXIF says; its centre square is resized to 32x32
(antialiased, bilinear), and one of 32x32 pixels stays as it is. Computes in fp32 like an exported
model; amp=bf16 asks for less. If one file cannot be read, all such are named, nothing is predicted
and the exit code is 1."""


@framed
def main(arguments: list[str]) -> int:
    """Predicts and prints; returns the exit code."""
    parser = Parser(
        "predict",
        "RUN IMAGE... [--top K] [--weights WHICH] [--json] [key=value ...]",
        "The classes that a trained model takes image files for, most probable first.",
        EXAMPLES,
    )
    parser.add_argument(
        "--top", type=int, metavar="K", help="classes shown (default: 3, or all where they are two)"
    )
    parser.add_argument("--weights", choices=WEIGHTS, help="default: best, where there are some")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--plugins", metavar="MODULE,...", help=PLUGINS)
    words = parser.read(arguments)
    load_plugins(words.flags.plugins)
    if len(words.paths) < 2:
        raise ValueError("name a run and at least one image; --help shows the usage")
    place = resolve(Path(words.paths[0]), words.flags.weights)
    values: dict[str, object] = {"amp": "none"} | use_values(words.overrides)
    from trainer.inference import images, predicted  # torch takes seconds
    from trainer.inference.trained import load_trained

    paths = images.find_images(words.paths[1:])
    pictures, errors = images.read_images(paths)
    for error in errors:
        console.say(str(error), sys.stderr)
    if errors:
        raise OSError(predicted.unreadable(paths, errors))
    trained = load_trained(place, values)
    top = predicted.checked_top(words.flags.top, trained.classes)
    result = predicted.predict(trained, pictures, top)
    if words.flags.json:
        found = {
            "checkpoint": str(trained.source.path),
            "images": [prediction.values() for prediction in result],
        }
        text = json.dumps(found, indent=2)
    else:
        head = [trained.title(), *(f"note: {note}" for note in trained.notes)]
        text = "\n".join([*head, *predicted.lines(result)])
    return show(text)


if __name__ == "__main__":
    leave(main())
