"""Which code computed a run: a hash over the modules that decide its numbers."""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
# The loop, and what it is built from: everything that these import counts.
ROOTS = ("training.preparation", "training.loop", "training.final_test")
# They only write, show or keep what was computed: no step or evaluation takes anything from them.
LEFT_OUT = ("cli.", "storage.", "config.saved", "training.checkpoint_thread", "training.code_hash",
            "training.clock", "training.event_file", "training.logs", "training.record",
            "training.run_bar", "training.signals", "training.summary")  # fmt: skip


@functools.cache
def code_sha256() -> str | None:
    """SHA-256 of the code that decides the numbers, comments and docstrings aside.

    Counted is whatever the loop imports, less a list of modules that only write and show: a new
    module counts unless somebody says otherwise. None where there are no source files.
    """
    digest = hashlib.sha256()
    try:
        for name, tree in sorted(modules().items()):
            digest.update(f"{name}\n{_meaning(tree)}\n".encode())
    except OSError:
        return None
    return digest.hexdigest()


def modules() -> dict[str, ast.Module]:
    """The modules that count, such as `data.epoch_table`, parsed.

    Raises:
        OSError: If a source file is missing.
    """
    found: dict[str, ast.Module] = {}
    waiting: list[str] = [*ROOTS]
    while waiting:
        name = waiting.pop()
        if name not in found and not f"{name}.".startswith(LEFT_OUT):
            found[name] = ast.parse(_path(name).read_text(encoding="utf-8"))
            waiting += _imports(found[name])
    return found


def _path(name: str) -> Path:
    place = PACKAGE.joinpath(*name.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _imports(tree: ast.Module) -> Iterator[str]:
    """Modules of ours that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            inner = name.removeprefix("trainer.")
            if inner != name and _path(inner).exists():
                yield inner


def _meaning(tree: ast.Module) -> str:
    """What a module says without comments, docstrings and layout."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
