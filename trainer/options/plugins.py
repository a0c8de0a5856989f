"""Options from outside: modules that a user names are imported, and register what they hold.

Only what the user types is imported: the command line, `TRAINER_PLUGINS`, the YAML of the chosen
experiment. A name that stands in a checkpoint never is.
"""

import hashlib
import importlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

VARIABLE = "TRAINER_PLUGINS"
LOADED: dict[str, str] = {}
"""Name of each module, and the SHA-256 of its file."""


def load(names: Iterable[str] = ()) -> None:
    """Imports modules by their dotted names, and those of `TRAINER_PLUGINS`, each once.

    The current directory comes first on the path, as under `python -m`. The processes that are
    started from here find the names in their environment.

    Raises:
        ValueError: If there is no such module, it cannot be imported, or a name in it is taken.
    """
    for name in [*os.environ.get(VARIABLE, "").replace(",", " ").split(), *names]:
        if name not in LOADED:
            LOADED[name] = _imported(name)
    if LOADED:
        os.environ[VARIABLE] = ",".join(LOADED)


def _imported(name: str) -> str:
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ValueError(
                f"plugins={name}: there is no module {error.name} in {here} or on PYTHONPATH"
            ) from error
        raise ValueError(f"plugins={name}: cannot be imported: {error}") from error
    except Exception as error:  # a stranger's module may raise anything
        line = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"plugins={name}: cannot be imported: {line}") from error
    file = getattr(module, "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
