"""What a docstring says of each field: the help of a key is the docstring's line."""

import inspect
import re


def title(option: type) -> str:
    """The first sentence of a class's docstring."""
    return (inspect.getdoc(option) or "").partition("\n")[0]


def fields(option: type) -> dict[str, str]:
    """Name and text of each entry below `Attributes:`, of the bases, too."""
    found: dict[str, str] = {}
    for kind in reversed(option.__mro__):
        text = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
        section = re.search(r"^Attributes:\n((?: {4}.*\n?|\n)+)", text, re.MULTILINE)
        entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", section[1] if section else "", re.M)
        found |= {name: " ".join(words.split()) for name, words in entries}
    return found
