"""Overrides whose values Hydra's grammar would misread: paths, formulas, names of modules."""

import re

PATH_KEYS = re.compile(
    r"\+{0,2}(resume|init|name|data\.root|data\.url|hydra\.(run|sweep)\.dir|(.+\.)?formula)"
)
SWEPT_KEYS = ("init", "name")  # a comma in these separates the values of a sweep


def quoted(argument: str) -> str:
    """An override whose value, if it is a path or a formula, Hydra's grammar cannot misread."""
    key, equals, value = argument.partition("=")
    if key == "plugins" and value and value[0] not in "['\"":
        return f"plugins=[{value}]"
    if not equals or not PATH_KEYS.fullmatch(key) or value in ("", "null", "auto"):
        return argument
    if key in SWEPT_KEYS and "," in value and " " not in value:
        return argument
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return argument
    return f"{key}={quote(value)}"


def quote(value: str) -> str:
    """A string as Hydra's grammar takes it literally."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{chr(92) * trailing}'"
