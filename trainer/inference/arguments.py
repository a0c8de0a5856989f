"""What evaluate, predict and export are told alike: RUN, --weights, --plugins and key=value."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.cli.command import Parser
from trainer.config.overrides import parse
from trainer.config.quoting import quoted
from trainer.inference.which_checkpoint import WEIGHTS, Place, resolve
from trainer.options import plugins
from trainer.options.keys import near

# Where and how a trained model is used; what it is, its run has decided.
USE_KEYS = ("device", "amp", "data.root", "data.download", "data.url")


@dataclass(frozen=True, slots=True)
class Request:
    """What a command line asks for; nothing has been read yet.

    Attributes:
        place: The checkpoint that RUN means.
        images: Further words: files, folders and patterns.
        values: `USE_KEYS` that were given.
        flags: What `--flag` said.
    """

    place: Place
    images: list[str]
    values: dict[str, object]
    flags: argparse.Namespace


class ModelParser(Parser):
    """The parser of a command that uses a trained model.

    Args:
        command: Its name, as in `python -m trainer.<command>`.
        usage: What comes behind the name.
        description: What it does.
        page: The command's docstring; all but its first line is shown below the flags.
    """

    def __init__(self, command: str, usage: str, description: str, page: str | None) -> None:
        super().__init__(command, usage, description, (page or "").partition("\n\n")[2])
        self.add_argument("--weights", choices=WEIGHTS, help="default: best, where there are some")
        self.add_argument(
            "--plugins",
            type=lambda names: names.replace(",", " ").split(),
            default=[],
            metavar="MODULE,...",
            help="modules with your own options, by commas",
        )

    def request(self, arguments: Sequence[str], *, takes_images: bool = False) -> Request:
        """Reads a command line, and imports what `--plugins` and `TRAINER_PLUGINS` name.

        Raises:
            ValueError: If it names another number of things than the command takes, or a key that
                is the run's.
        """
        words = self.read(arguments)
        plugins.load(words.flags.plugins)
        if takes_images and len(words.paths) < 2:
            raise ValueError("name a run and at least one image; --help shows the usage")
        if not takes_images and len(words.paths) != 1:
            raise ValueError("name one run folder, checkpoint or sweep; --help shows the usage")
        run, *images = words.paths
        place = resolve(Path(run), words.flags.weights)
        return Request(place, images, use_values(words.overrides), words.flags)


def use_values(overrides: Sequence[str]) -> dict[str, object]:
    """The overrides of a command that uses a trained model, as values.

    Raises:
        ValueError: If a key is not one of `USE_KEYS`.
    """
    values: dict[str, object] = {}
    for override in parse([quoted(argument) for argument in overrides]):
        key, line = override.key_or_group, override.input_line
        if key not in USE_KEYS or override.is_sweep_override():
            raise ValueError(
                f"{line}: is the run's own setting, or none{near(key, USE_KEYS)}; a trained model "
                f"takes {', '.join(USE_KEYS)}"
            )
        values[key] = override.value()
    return values
