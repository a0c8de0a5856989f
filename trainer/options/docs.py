"""What a docstring says of each field: the help of a key is the docstring's line."""

import dataclasses
import inspect
import re
from dataclasses import dataclass
from typing import Any

from trainer.options.marks import range_of


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


@dataclass(frozen=True, slots=True)
class Key:
    """What help and `conf/` say of a key.

    Attributes:
        name: The field's name.
        default: Its default, a plain value.
        range: What its values must be, in words; None: whatever the type allows.
        text: What the docstring says.
    """

    name: str
    default: Any
    range: str | None
    text: str


def keys(option: type[Any]) -> list[Key]:
    """The fields of an option that have a plain default, in order, without its name."""
    texts = fields(option)
    found: list[Key] = []
    for field in dataclasses.fields(option):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        missing = default is dataclasses.MISSING or default == "???"
        own_name = field.name == "name" and isinstance(default, str)
        if not (missing or own_name or dataclasses.is_dataclass(default)):
            found.append(Key(field.name, default, range_of(field), texts.get(field.name, "")))
    return found
