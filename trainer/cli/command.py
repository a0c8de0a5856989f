"""The frame of every command: arguments, signals, errors and exit codes, the same for all.

Exit codes: 0 done, 1 failed, 2 the user's mistake, 128 + n ended by signal n.
"""

import argparse
import functools
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from trainer.cli import console
from trainer.cli.launch import Launch
from trainer.cli.signals import Stopped
from trainer.storage.files import DamagedFile

FULL_ERROR = "HYDRA_FULL_ERROR"
TRACEBACKS = os.environ.get(FULL_ERROR) == "1"
OVERRIDE = re.compile(r"\+{0,2}[a-z_]\w*([./@][\w.]+)*=.*", re.DOTALL)
# What is explained in a line; anything else is a bug, and keeps its traceback.
EXPLAINED = (ValueError, OSError, FloatingPointError, MemoryError)
MISTAKES = (ValueError, FileExistsError, NotADirectoryError)


class Main(Protocol):
    """The `main` of a command."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Carries the command out; returns its exit code. None: the process's own arguments."""
        ...


def framed(work: Callable[[list[str]], int]) -> Main:
    """Makes the `main` of a command: `work` gets the arguments, errors become exit codes."""

    @functools.wraps(work)
    def main(arguments: Sequence[str] | None = None) -> int:
        try:
            return work(sys.argv[1:] if arguments is None else list(arguments))
        except Stopped as stopped:
            return 128 + stopped.signal
        except KeyboardInterrupt:
            return 130
        except EXPLAINED as error:
            return refuse(error)

    return main


def exit_code(error: Exception) -> int:
    """2 for a mistake in what was asked for, 1 for what went wrong in doing it."""
    return 2 if isinstance(error, MISTAKES) and not isinstance(error, DamagedFile) else 1


def refuse(error: Exception) -> int:
    """Prints an error in one line; returns its exit code."""
    if TRACEBACKS:
        traceback.print_exception(error)
    console.say(f"trainer: error: {console.one_line(error)}", sys.stderr)
    return exit_code(error)


def show(text: str) -> int:
    """Prints a text; returns 1 if it cannot be written. A reader may leave early."""
    return 0 if console.say(text, sys.stdout) else 1


def leave(code: int) -> NoReturn:
    """Ends the process; a reader that is gone by its last line changes nothing."""
    for stream in (sys.stdout, sys.stderr):
        console.finish(stream)
    sys.exit(code)


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
        unknown = message.removeprefix("unrecognized arguments: ")
        reason = message if unknown == message else f"{unknown.split()[0]}: there is no such option"
        raise ValueError(f"{reason}; --help shows the usage")

    def read(self, arguments: Sequence[str]) -> "Words":
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


def _exists(word: str) -> bool:
    try:
        return Path(word).exists()
    except OSError:  # too long for a name
        return False
