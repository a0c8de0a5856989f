"""Flags, paths and overrides of a command line, told apart; mistakes are one line."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from trainer.cli.launch import Launch
from trainer.config.overrides import near, parse, quoted

OVERRIDE = re.compile(r"\+{0,2}[a-z_]\w*([./@][\w.]+)*=.*", re.DOTALL)
# Keys that say where and how a trained model is used; what it is, is the checkpoint's.
USE_KEYS = ("device", "amp", "data.root", "data.download", "data.url")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ours: one line.

    Args:
        command: Its name, as in `python -m trainer.<command>`.
        usage: What comes behind the name.
        description: What it does.
        examples: Lines below the flags.
    """

    def __init__(self, command: str, usage: str, description: str, examples: str) -> None:
        super().__init__(
            prog=f"python -m trainer.{command}",
            usage=f"%(prog)s {usage}",
            description=description,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.command = command
        self.add_argument("words", nargs="*", help=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        """Raises ValueError with what argparse has to say."""
        raise ValueError(f"{message}; --help shows the usage")

    def read(self, arguments: Sequence[str] | None) -> "Words":
        """Reads a command line.

        Raises:
            ValueError: If a flag is unknown or its value cannot be, or if several processes ask.
        """
        if Launch.from_environment().processes > 1:
            raise ValueError(f"torchrun: is for training; {self.command} runs in one process")
        flags = self.parse_intermixed_args(arguments)
        overrides = [w for w in flags.words if OVERRIDE.fullmatch(w) and not _exists(w)]
        paths = [word for word in flags.words if word not in overrides]
        return Words(flags, paths, overrides)


@dataclass(frozen=True, slots=True)
class Words:
    """A command line.

    Attributes:
        flags: What `--flag` said.
        paths: What is no flag and no override.
        overrides: `key=value`; a file of that name would have been a path.
    """

    flags: argparse.Namespace
    paths: list[str]
    overrides: list[str]


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


def _exists(word: str) -> bool:
    try:
        return Path(word).exists()
    except OSError:  # too long for a name
        return False
